"""What is wrong with one conversation ends that conversation, and nothing else; on both servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from operator import eq
from typing import Any

import pytest
from aiohttp import web
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_ingest.error_boundary import DEFECTS
from relay_ingest.motion.failures import MESSAGES
from relay_ingest.worker import DEFERRED, ENDED
from relay_runtime.http import listen
from relay_streams import conversations
from relay_streams.conversations import RECORD_FORMAT, Conversation
from relay_streams.errors import Missing, Unreadable
from relay_streams.publisher import Publisher
from relay_turns.state import TurnState
from relay_wire import events, uplink
from relay_wire.frame import Codec, Flags, Kind

TENTH = b"\x01\x02" * 1600
DAMAGE = {
    "an up cursor that is none": {"up": "x"},
    "an up cursor no stream can have": {"up": "99999999999999999999-0"},
    "half an up cursor": {"up": "17"},
    "a tail that is no position": {"tail": "junk"},
    "a position out of range": {"turn_first": "1-99999999999"},
    "a value of talk_over nobody knows": {"talk_over": "sometimes"},
    "a codec nobody knows": {"codec": 9},
    "a generation that is no number": {"generation": "x"},
    "a turn below zero": {"turn": -1},
    "a checkpoint that is no JSON": {"checkpoint": "{"},
    "a checkpoint of another shape": {"checkpoint": '{"turn":"one"}'},
    "a checkpoint too deep to read": {"checkpoint": '{"x":' + "[" * 100_000},
    "a sample rate of 0": {"sample_rate": 0},
    "an avatar that is no text": {"avatar": b"\xff"},
    "a state nobody knows": {"state": "paused"},
    "an input nobody knows": {"in_state": "what", "in_offset": "1e9"},
    "a format that is no number": {"format": "two"},
}


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        async with open_store() as store, open_workers(store, lease_ms=400, **settings) as opened:
            yield opened

    return made


async def damage(store, keys, **fields: Any) -> None:
    flat = [part for field in fields.items() for part in field]
    await store.client.execute("HSET", keys.meta, *flat)


async def speaks(b, keys) -> None:
    """The conversation is as well as any."""
    turn = (await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)).turn
    assert await b.until_outcome(keys, turn) in ("complete", "audio_only")
    assert await b.audio(keys, turn) == TENTH


async def state(store, keys) -> str:
    """The record's state, as soon as it can be read."""

    async def read() -> str:
        try:
            return (await conversations.read(store.client, keys)).state
        except Unreadable:
            return ""

    return await eventually(read, within_s=20)


async def until_ended(b, keys, reason: str) -> None:
    await b.until(keys, events.ConversationEnded(reason))
    await eventually(lambda: state(b.store, keys), 20, until=lambda found: found == "ended")


@pytest.mark.parametrize("fields", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_record_ends_its_conversation_only(bench, fields) -> None:
    """It is told to viewers, the record can be read again, and the worker serves the others."""
    async with bench() as b:
        damaged, well = await b.store.create(), await b.store.create()
        await damage(b.store, damaged, **fields)
        before = ENDED.labels("unreadable_record")._value.get()
        async with b.worker():
            if "generation" in fields:  # the claim mends it
                await speaks(b, damaged)
            else:
                await until_ended(b, damaged, "unreadable_record")
                assert ENDED.labels("unreadable_record")._value.get() == before + 1
            await speaks(b, well)
        assert DEFECTS.labels("worker")._value.get() == 0


async def test_a_damaged_record_in_mid_turn(bench) -> None:
    """The turn that was spoken is closed for the players before the conversation ends."""
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=False)
            await b.until(keys, events.TurnStarted())
            await damage(b.store, keys, talk_over="sometimes")
        async with b.worker():
            await until_ended(b, keys, "unreadable_record")

        frames = [frame for frame in await b.frames(keys) if frame.turn == 1]
        assert sum(bool(frame.flags & Flags.END) for frame in frames if frame.kind is Kind.AUDIO) == 1
        assert await b.published(keys, 1) == [
            events.TurnStarted(), events.AudioOnly("owner_changed"),
            events.Interrupted("unreadable_record"), events.TurnEnded("interrupted"),
        ]  # fmt: skip


async def test_the_chain_holds_where_the_tail_is_damaged(bench) -> None:
    """The stream itself says where it ended, so viewers see no gap."""
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await speaks(b, keys)
        last = (await b.store.entries(keys.down))[-1][0]
        await damage(b.store, keys, tail="junk")
        async with b.worker():
            await b.until(keys, events.OwnerChanged(last), events.ConversationEnded("unreadable_record"))


async def test_a_later_versions_record_is_left_alone(bench) -> None:
    """It is put off, each time for longer, and owned once a worker can read it."""
    async with bench() as b:
        later, well = await b.store.create(), await b.store.create()
        await damage(b.store, later, format=RECORD_FORMAT + 1, talk_over="sometimes")
        before = DEFERRED.labels("later_format")._value.get()
        async with b.worker():
            waits = []
            for count in (1, 2, 3):
                await eventually(
                    lambda: b.store.client.execute("HGET", later.meta, "deferred"),
                    20,
                    until=partial(eq, b"%d" % count),
                )
                due_ms = float(await b.store.client.execute("ZSCORE", later.leases, later.id))
                now_s, _ = await b.store.client.execute("TIME")
                waits.append(due_ms / 1000 - int(now_s))
                await b.store.client.execute("ZADD", later.leases, 0, later.id)
            assert waits[0] < waits[1] < waits[2]
            assert DEFERRED.labels("later_format")._value.get() >= before + 3
            assert await b.store.entries(later.down) == []
            await speaks(b, well)
            await damage(b.store, later, format=RECORD_FORMAT, talk_over="always")
            await b.store.client.execute("ZADD", later.leases, 0, later.id)
            await speaks(b, later)


async def test_an_impossible_state_ends_its_conversation_only(bench) -> None:
    """The record can be read, but its owner cannot work with it."""
    async with bench() as b:
        impossible, well = await b.store.create(), await b.store.create()
        checkpoint = TurnState(turn=1, phase="speaking", audio_bytes=10**15).encode()
        await damage(b.store, impossible, turn=1, checkpoint=checkpoint)
        before = DEFECTS.labels("start")._value.get()
        async with b.worker():
            await until_ended(b, impossible, "internal_error")
            assert (await b.published(impossible))[0] == events.OwnerChanged("0-0")
            assert DEFECTS.labels("start")._value.get() == before + 1
            await speaks(b, well)


@pytest.mark.parametrize(
    "entry",
    [
        {"k": "speech", "t": 2**40, "o": 0, "d": "aa", "e": 1},
        {"k": "speech", "t": "1_0", "o": 0, "d": "aa"},
        {"k": "speech", "t": 1, "o": -4, "d": "aa"},
        {"k": "interrupt", "t": -1, "r": "viewer"},
        {"k": "playback", "t": 1, "s": "finished", "p": "9" * 4000},
        {"k": "playback", "t": 1, "s": "what", "p": 1},
        {"k": "text", "d": b"\xff"},
        {"k": "what"},
        {"x": "y"},
    ],
    ids=str,
)
async def test_an_entry_that_cannot_be_read_is_one_entry(bench, entry) -> None:
    """The conversation goes on behind it."""
    async with bench() as b:
        keys = await b.store.create()
        await b.store.client.execute(
            "XADD", keys.up, "*", *[part for field in entry.items() for part in field]
        )
        async with b.worker():
            await speaks(b, keys)


async def test_what_is_no_offer_stops_no_queue(bench) -> None:
    """Names that are no text, conversations of another partition, records that are something else."""
    async with bench() as b:
        well = await b.store.create()
        elsewhere = next(
            keys for keys in [await b.store.create() for _ in range(40)] if keys.unowned != well.unowned
        )
        strange = next(
            keys
            for keys in (b.store.keys.conversation(f"strange-{n}") for n in range(1000))
            if keys.unowned == well.unowned
        )
        await b.store.client.execute("SET", strange.meta, "no hash")
        for fields in (("c", b"\xff\xfe"), ("c", elsewhere.id), ("c", strange.id), ("x", "")):
            await b.store.client.execute("XADD", well.unowned, "*", *fields)
        async with b.worker():
            await speaks(b, well)
            await speaks(b, elsewhere)
            await eventually(
                lambda: b.store.client.execute("XPENDING", well.unowned, "ingest"),
                within_s=20,
                until=lambda pending: not pending[0],
            )


async def test_a_lease_that_never_expires_is_none(bench) -> None:
    """Nobody renews it."""
    async with bench() as b:
        keys = await b.store.create()
        await b.store.client.execute("SET", keys.lease, "nobody 1")
        async with b.worker():
            await speaks(b, keys)


async def test_a_damaged_claim_delays_no_other_renewal(open_store) -> None:
    """Its owner writes it again; its neighbours of the partition are renewed."""
    async with open_store() as store:
        leases = [await store.claim(await store.create()) for _ in range(40)]
        first, second = next(
            (one, two) for one in leases for two in leases
            if one is not two and one.keys.partition == two.keys.partition
        )  # fmt: skip
        await damage(store, first.keys, generation="x")
        assert await store.registry().renew([first, second]) == ([], [first.keys.id], [])
        async with Publisher(store.url) as publisher:
            writer = store.writer(publisher, first)
            writer.append([], checkpoint=b"{}")
            await writer.drained()
        assert (await conversations.read(store.client, first.keys)).generation == first.generation
        assert store.lost == []


@pytest.mark.parametrize(
    "field", ["in_at", "in_stop", "in_close", "in_quiet", "in_past", "in_hold", "up", "up_in"]
)
async def test_what_scripts_read_may_be_damaged(bench, field: str) -> None:
    """While the conversation is owned: it is spoken in, interrupted and ended all the same."""
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            turn = (await b.up.append_speech(keys, offset=0, pcm=TENTH, end=False)).turn
            await b.until(keys, events.TurnStarted())
            await b.up.append(keys, uplink.Interrupt(reason="viewer"))
            await b.until_outcome(keys, turn)
            sums = await b.store.client.execute("HGET", keys.meta, "up_in")
            await damage(b.store, keys, **{"in_quiet": sums, field: "junk"})
            await b.up.append(keys, uplink.Interrupt(reason="viewer"))
            await speaks(b, keys)
            await b.up.append(keys, uplink.Close("deleted"))
            await until_ended(b, keys, "deleted")


def test_every_field_has_its_bounds() -> None:
    """A record is whole, or damaged, or not there; nothing else comes out of reading it."""
    founding = Conversation("c", "open", "ava", 16000, Codec.PCM_S16LE, 1).founding_fields()
    whole = {
        str(name).encode(): str(value).encode()
        for name, value in zip(founding[::2], founding[1::2], strict=True)
    }
    assert Conversation.from_fields("c", whole).state == "open"
    with pytest.raises(Missing):
        Conversation.from_fields("c", {})
    for name in conversations.RECORD_FIELDS:
        for junk in (b"\xff", b"-1", b"1" * 5000, b" 1", b"\x00" * 3):
            with suppress(Unreadable):
                Conversation.from_fields("c", {**whole, name: junk})


async def test_viewers_do_not_see_what_the_vendor_says(bench, caplog) -> None:
    """A server that repeats the key it was sent: viewers get the code and a sentence of ours."""

    async def repeat(request: web.Request) -> web.Response:
        return web.Response(status=403, text=f"no such key: {request.headers['X-Api-Key']} at host 10.1.2.3")

    console = web.Application()
    console.router.add_route("*", "/{path:.*}", repeat)
    async with listen(console, "127.0.0.1", 0) as url, bench(SPATIUS_CONSOLE_ENDPOINT=url) as b, b.worker():
        keys = await b.store.create()
        await b.up.append_speech(keys, offset=0, pcm=TENTH * 10, end=True)
        assert await b.until_outcome(keys, 1) == "audio_only"
        told = [event for event in await b.published(keys) if isinstance(event, events.Error)]
        stored = b"".join(bytes(frame.payload) for frame in await b.frames(keys))
    assert [error.message for error in told] == [MESSAGES[told[0].code]]
    assert b"10.1.2.3" not in stored
    assert b"right" not in stored
