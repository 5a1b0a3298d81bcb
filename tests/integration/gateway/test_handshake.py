"""The handshake: who gets in, where a viewer starts, and what is refused with which problem."""

import time

import pytest
from tests.rigs.gateway import collect, seqs

from relay_client import Refused
from relay_wire import events, frame
from relay_wire.frame import Kind
from relay_wire.position import Position

DAY_MS = 24 * 3600 * 1000


async def test_hello_comes_first(open_rig) -> None:
    """With all a client needs to set up its player."""
    async with open_rig() as rig, rig.viewer("live") as viewer:
        await rig.turn(1)
        [hello, *_] = await collect(viewer, 1)

        assert hello.seq == 0
        assert events.decode(hello.payload) == events.Hello(
            position=f"{rig.generation}-1", turn=0, sample_rate=16000, codec="pcm_s16le",
            avatar_id="ava", app_id="app", region="us-west",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "first"), [("turn", 16), ("", 16), ("last", 9), ("live", 16), ("{g}-3", 4), ("{g}-15", 16)]
)
async def test_where_to_start(open_rig, start: str, first: int) -> None:
    """The last turn, live, after a position; then on without a hole. No turn plays, so none is repeated."""
    async with open_rig() as rig:
        await rig.turn(1)
        await rig.turn(2)
        path = rig.path + (f"?from={start.format(g=rig.generation)}" if start else "")
        async with await rig.connect(path) as socket:
            await socket.receive_bytes(timeout=5)
            await rig.turn(3)
            got = [frame.decode(await socket.receive_bytes(timeout=5)).seq for _ in range(first, 23)]

        assert got == list(range(first, 23))


async def test_a_turn_that_plays_is_heard_from_its_start(open_rig) -> None:
    """While it is published or still plays; afterwards nothing is replayed."""
    async with open_rig() as rig:

        async def first(start: str) -> int:
            async with await rig.connect(f"{rig.path}{start}") as socket:
                hello = events.decode(frame.decode(await socket.receive_bytes(timeout=5)).payload)
                return Position.parse(hello.position).seq + 1

        await rig.turn(1)
        now_ms = time.time_ns() // 1_000_000
        for turn, (phase, ends_at_ms, begins) in enumerate(
            [("speaking", 0, True), ("playing", now_ms + 60_000, True), ("playing", now_ms, False),
             ("idle", 0, False), ("closed", 0, False)], start=2
        ):  # fmt: skip
            at = rig.writer.last_position.seq + 1
            rig.publish(events.TurnStarted(), turn=turn)
            rig.publish(events.Transcript("assistant", "x"), turn=turn, phase=phase, ends_at_ms=ends_at_ms)
            await rig.writer.drained()
            for start in ("", "?from=turn"):
                assert await first(start) == (at if begins else at + 2), phase
            assert await first("?from=last") == at


async def test_an_interrupted_turn_is_not_said_again(open_rig) -> None:
    """It does not play any more, so a new viewer gets the next frames."""
    async with open_rig() as rig:
        await rig.turn(1)
        rig.publish(events.Interrupted("viewer"), turn=1, phase="idle")
        await rig.writer.drained()
        async with rig.viewer("turn") as viewer:
            await rig.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(10, 17))


async def test_a_new_conversation_from_its_beginning(open_rig) -> None:
    """Without any turn there is nothing to replay but its beginning."""
    async with open_rig() as rig, rig.viewer() as viewer:
        await rig.turn(1)

        assert seqs(await collect(viewer, 8)) == list(range(1, 9))


# --- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        "garbage",
        "1",
        "1-",
        "-",
        "turn-",
        "1-1-1",
        "99999999999999999999999-1",
        "{future}-1",
        "5-1",
        "{g}-0x1",
    ],
)
async def test_positions_that_are_none(open_rig, start: str) -> None:
    """Garbage, the future, and what this conversation never had."""
    async with open_rig() as rig:
        await rig.turn(1)
        start = start.format(g=rig.generation, future=rig.generation + 2 * DAY_MS)

        assert await rig.refused(start) == (400, "bad-position")


async def test_another_conversations_position(open_rig) -> None:
    """A generation between two of the conversation's, which it never had, is refused."""
    async with open_rig() as rig:
        await rig.turn(1)
        rig.writer.close()
        await rig.store.client.execute("HSET", rig.keys.meta, "generation", rig.generation + 10)
        await rig.succeed()

        assert await rig.refused(f"{rig.generation - 5}-3") == (400, "bad-position")


async def test_a_position_after_the_tail_is_tried_again(open_rig) -> None:
    """A fail-over may have lost the tail: the viewer waits until its owner has written it again."""
    async with open_rig() as rig:
        await rig.turn(1)
        go_back = await rig.store.snapshot(rig.keys)
        await rig.turn(2)
        had = rig.writer.last_position
        await go_back()
        assert await rig.refused(str(had)) == (503, "position-ahead")

        viewer = rig.viewer(str(had))
        rig.writer.restore("test")
        async with viewer:
            await rig.turn(3)
            assert seqs(await collect(viewer, 7)) == list(range(had.seq + 1, had.seq + 8))
            assert viewer.report.gaps == 0


async def test_a_position_of_a_lost_term_is_tried_again(open_rig) -> None:
    """The fail-over has lost the claim, too: the position looks like one of the future, but is not."""
    async with open_rig() as rig:
        await rig.turn(1)
        go_back = await rig.store.snapshot(rig.keys)
        await rig.succeed()
        await go_back()

        assert await rig.refused(str(rig.writer.last_position)) == (503, "position-ahead")
        rig.writer.restore("test")
        await rig.writer.drained()
        async with rig.viewer(str(rig.writer.last_position)) as viewer:
            await rig.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(2, 9))


async def test_a_position_without_a_record_is_tried_again(open_rig) -> None:
    """Redis has lost its data: a returning viewer waits for the owner, a new one gets 404."""
    async with open_rig() as rig:
        await rig.turn(1)
        had = rig.writer.last_position
        await rig.store.client.execute("FLUSHALL")
        assert await rig.refused(str(had)) == (503, "not-restored")
        assert await rig.refused("turn") == (404, "unknown-conversation")
        assert await rig.refused("last") == (404, "unknown-conversation")
        assert await rig.refused("live") == (404, "unknown-conversation")

        rig.writer.restore("test")
        async with rig.viewer(str(had)) as viewer:
            await rig.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(had.seq + 1, had.seq + 8))


# --- refusals ------------------------------------------------------------------------------------


async def test_an_unknown_conversation(open_rig) -> None:
    """With a token for it, even."""
    async with open_rig() as rig:
        headers = {"Authorization": f"Bearer {rig.token(conversation='nobody')}"}

        assert await rig.refused(path="/v1/conversations/nobody/stream", headers=headers) == (
            404,
            "unknown-conversation",
        )


async def test_a_record_that_cannot_be_read(open_rig) -> None:
    """Is not one that is missing: a worker ends the conversation, or a later version serves it."""
    async with open_rig() as rig:
        await rig.turn(1)
        for field, value in (("talk_over", "sometimes"), ("format", 99)):
            await rig.store.client.execute("HSET", rig.writer.lease.keys.meta, field, value)
            for start in ("turn", "live", str(rig.writer.last_position)):
                assert await rig.refused(start) == (503, "unreadable-record")


async def test_tokens(open_rig) -> None:
    """Missing, expired, forged, foreign."""
    async with open_rig() as rig:
        for token, answer in {
            "": (401, "unauthorized"),
            "garbage": (401, "unauthorized"),
            rig.token(ttl_s=-60): (401, "unauthorized"),
            rig.token(key="o" * 40): (401, "unauthorized"),
            rig.token(conversation="other"): (403, "forbidden"),
        }.items():
            assert await rig.refused(headers={"Authorization": f"Bearer {token}"}) == answer
        assert await rig.refused(headers={}) == (401, "unauthorized")


async def test_browsers_send_the_token_as_a_subprotocol(open_rig) -> None:
    """Only ours is accepted in the answer; the token is never echoed."""
    async with open_rig() as rig:
        protocols = ("avatar-relay.v1", f"avatar-relay.token.{rig.token()}")
        async with await rig.connect(headers={}, protocols=protocols) as socket:
            assert socket.protocol == "avatar-relay.v1"
            assert frame.decode(await socket.receive_bytes(timeout=5)).kind is Kind.EVENT


async def test_other_subprotocols_are_refused(open_rig) -> None:
    """A client of another protocol must not think it was understood."""
    async with open_rig() as rig:
        assert await rig.refused(protocols=("graphql-ws",)) == (400, "bad-request")


async def test_plain_requests(open_rig) -> None:
    """A request that is not a WebSocket gets a problem."""
    async with open_rig() as rig:
        url = rig.url.replace("ws", "http")
        async with rig.http.get(f"{url}{rig.path}") as response:
            body = await response.json(content_type="application/problem+json")
            assert (response.status, body["type"]) == (426, "urn:avatar-relay:problem:upgrade-required")
        async with rig.http.get(f"{url}/nowhere") as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")
        async with rig.http.post(f"{url}/v1/conversations/x/stream") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_the_client_says_why(open_rig) -> None:
    """A final refusal is an error of its own."""
    async with open_rig() as rig:
        with pytest.raises(Refused, match="bad-position"):
            await rig.viewer("garbage").__aenter__()
