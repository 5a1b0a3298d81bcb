"""The handshake: who gets in, where a viewer starts, and what is refused with which problem."""

import time

import pytest
from tests.rigs.gateway import collect, seqs

from relay_client import Refused
from relay_wire import events, frame
from relay_wire.frame import Kind
from relay_wire.position import Position

DAY_MS = 24 * 3600 * 1000


async def test_hello_comes_first(bench) -> None:
    """With all a client needs to set up its player."""
    async with bench() as b, b.viewer("live") as viewer:
        await b.turn(1)
        [hello, *_] = await collect(viewer, 1)

        assert hello.seq == 0
        assert events.decode(hello.payload) == events.Hello(
            position=f"{b.generation}-1", turn=0, sample_rate=16000, codec="pcm_s16le",
            avatar_id="ava", app_id="app", region="us-west",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "first"), [("turn", 16), ("", 16), ("last", 9), ("live", 16), ("{g}-3", 4), ("{g}-15", 16)]
)
async def test_where_to_start(bench, start: str, first: int) -> None:
    """The last turn, live, after a position; then on without a hole. No turn plays, so none is repeated."""
    async with bench() as b:
        await b.turn(1)
        await b.turn(2)
        path = b.path + (f"?from={start.format(g=b.generation)}" if start else "")
        async with await b.connect(path) as socket:
            await socket.receive_bytes(timeout=5)
            await b.turn(3)
            got = [frame.decode(await socket.receive_bytes(timeout=5)).seq for _ in range(first, 23)]

        assert got == list(range(first, 23))


async def test_a_turn_that_plays_is_heard_from_its_start(bench) -> None:
    """While it is published or still plays; afterwards nothing is replayed."""
    async with bench() as b:

        async def first(start: str) -> int:
            async with await b.connect(f"{b.path}{start}") as socket:
                hello = events.decode(frame.decode(await socket.receive_bytes(timeout=5)).payload)
                return Position.parse(hello.position).seq + 1

        await b.turn(1)
        now_ms = time.time_ns() // 1_000_000
        for turn, (phase, ends_at_ms, begins) in enumerate(
            [("speaking", 0, True), ("playing", now_ms + 60_000, True), ("playing", now_ms, False),
             ("idle", 0, False), ("closed", 0, False)], start=2
        ):  # fmt: skip
            at = b.writer.last_position.seq + 1
            b.publish(events.TurnStarted(), turn=turn)
            b.publish(events.Transcript("assistant", "x"), turn=turn, phase=phase, ends_at_ms=ends_at_ms)
            await b.writer.drained()
            for start in ("", "?from=turn"):
                assert await first(start) == (at if begins else at + 2), phase
            assert await first("?from=last") == at


async def test_an_interrupted_turn_is_not_said_again(bench) -> None:
    """It does not play any more, so a new viewer gets the next frames."""
    async with bench() as b:
        await b.turn(1)
        b.publish(events.Interrupted("viewer"), turn=1, phase="idle")
        await b.writer.drained()
        async with b.viewer("turn") as viewer:
            await b.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(10, 17))


async def test_a_new_conversation_from_its_beginning(bench) -> None:
    """Without any turn there is nothing to replay but its beginning."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)

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
async def test_positions_that_are_none(bench, start: str) -> None:
    """Garbage, the future, and what this conversation never had."""
    async with bench() as b:
        await b.turn(1)
        start = start.format(g=b.generation, future=b.generation + 2 * DAY_MS)

        assert await b.refused(start) == (400, "bad-position")


async def test_another_conversations_position(bench) -> None:
    """A generation between two of the conversation's, which it never had, is refused."""
    async with bench() as b:
        await b.turn(1)
        b.writer.close()
        await b.store.client.execute("HSET", b.keys.meta, "generation", b.generation + 10)
        await b.succeed()

        assert await b.refused(f"{b.generation - 5}-3") == (400, "bad-position")


async def test_a_position_after_the_tail_is_tried_again(bench) -> None:
    """A fail-over may have lost the tail: the viewer waits until its owner has written it again."""
    async with bench() as b:
        await b.turn(1)
        go_back = await b.store.snapshot(b.keys)
        await b.turn(2)
        had = b.writer.last_position
        await go_back()
        assert await b.refused(str(had)) == (503, "position-ahead")

        viewer = b.viewer(str(had))
        b.writer.restore("test")
        async with viewer:
            await b.turn(3)
            assert seqs(await collect(viewer, 7)) == list(range(had.seq + 1, had.seq + 8))
            assert viewer.report.gaps == 0


async def test_a_position_of_a_lost_term_is_tried_again(bench) -> None:
    """The fail-over has lost the claim, too: the position looks like one of the future, but is not."""
    async with bench() as b:
        await b.turn(1)
        go_back = await b.store.snapshot(b.keys)
        await b.succeed()
        await go_back()

        assert await b.refused(str(b.writer.last_position)) == (503, "position-ahead")
        b.writer.restore("test")
        await b.writer.drained()
        async with b.viewer(str(b.writer.last_position)) as viewer:
            await b.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(2, 9))


async def test_a_position_without_a_record_is_tried_again(bench) -> None:
    """Redis has lost its data: a returning viewer waits for the owner, a new one gets 404."""
    async with bench() as b:
        await b.turn(1)
        had = b.writer.last_position
        await b.store.client.execute("FLUSHALL")
        assert await b.refused(str(had)) == (503, "not-restored")
        assert await b.refused("turn") == (404, "unknown-conversation")
        assert await b.refused("last") == (404, "unknown-conversation")
        assert await b.refused("live") == (404, "unknown-conversation")

        b.writer.restore("test")
        async with b.viewer(str(had)) as viewer:
            await b.turn(2)
            assert seqs(await collect(viewer, 7)) == list(range(had.seq + 1, had.seq + 8))


# --- refusals ------------------------------------------------------------------------------------


async def test_an_unknown_conversation(bench) -> None:
    """With a token for it, even."""
    async with bench() as b:
        headers = {"Authorization": f"Bearer {b.token(conversation='nobody')}"}

        assert await b.refused(path="/v1/conversations/nobody/stream", headers=headers) == (
            404,
            "unknown-conversation",
        )


async def test_a_record_that_cannot_be_read(bench) -> None:
    """Is not one that is missing: a worker ends the conversation, or a later version serves it."""
    async with bench() as b:
        await b.turn(1)
        for field, value in (("talk_over", "sometimes"), ("format", 99)):
            await b.store.client.execute("HSET", b.writer.lease.keys.meta, field, value)
            for start in ("turn", "live", str(b.writer.last_position)):
                assert await b.refused(start) == (503, "unreadable-record")


async def test_tokens(bench) -> None:
    """Missing, expired, forged, foreign."""
    async with bench() as b:
        for token, answer in {
            "": (401, "unauthorized"),
            "garbage": (401, "unauthorized"),
            b.token(ttl_s=-60): (401, "unauthorized"),
            b.token(key="o" * 40): (401, "unauthorized"),
            b.token(conversation="other"): (403, "forbidden"),
        }.items():
            assert await b.refused(headers={"Authorization": f"Bearer {token}"}) == answer
        assert await b.refused(headers={}) == (401, "unauthorized")


async def test_browsers_send_the_token_as_a_subprotocol(bench) -> None:
    """Only ours is accepted in the answer; the token is never echoed."""
    async with bench() as b:
        protocols = ("avatar-relay.v1", f"avatar-relay.token.{b.token()}")
        async with await b.connect(headers={}, protocols=protocols) as socket:
            assert socket.protocol == "avatar-relay.v1"
            assert frame.decode(await socket.receive_bytes(timeout=5)).kind is Kind.EVENT


async def test_other_subprotocols_are_refused(bench) -> None:
    """A client of another protocol must not think it was understood."""
    async with bench() as b:
        assert await b.refused(protocols=("graphql-ws",)) == (400, "bad-request")


async def test_plain_requests(bench) -> None:
    """A request that is not a WebSocket gets a problem."""
    async with bench() as b:
        url = b.url.replace("ws", "http")
        async with b.http.get(f"{url}{b.path}") as response:
            body = await response.json(content_type="application/problem+json")
            assert (response.status, body["type"]) == (426, "urn:avatar-relay:problem:upgrade-required")
        async with b.http.get(f"{url}/nowhere") as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")
        async with b.http.post(f"{url}/v1/conversations/x/stream") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_the_client_says_why(bench) -> None:
    """A final refusal is an error of its own."""
    async with bench() as b:
        with pytest.raises(Refused, match="bad-position"):
            await b.viewer("garbage").__aenter__()
