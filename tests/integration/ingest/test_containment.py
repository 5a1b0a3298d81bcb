"""What is wrong with one conversation ends that conversation, and nothing else; on every server."""

from contextlib import suppress
from functools import partial
from operator import eq
from typing import Any

import pytest
from aiohttp import web
from tests.rigs.eventually import eventually
from tests.rigs.ingest import open_workers
from tests.rigs.store import at_clean_store

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
    "an unknown value of talk_over": {"talk_over": "sometimes"},
    "an unknown codec": {"codec": 9},
    "a generation that is no number": {"generation": "x"},
    "a turn below zero": {"turn": -1},
    "a checkpoint that is no JSON": {"checkpoint": "{"},
    "a checkpoint of another shape": {"checkpoint": '{"turn":"one"}'},
    "a checkpoint too deep to read": {"checkpoint": '{"x":' + "[" * 100_000},
    "a sample rate of 0": {"sample_rate": 0},
    "an avatar that is no text": {"avatar": b"\xff"},
    "an unknown state": {"state": "paused"},
    "an unknown input": {"in_state": "what", "in_offset": "1e9"},
    "a format that is no number": {"format": "two"},
}


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers, lease_ms=400)


async def damage(store, keys, **fields: Any) -> None:
    flat = [part for field in fields.items() for part in field]
    await store.client.execute("HSET", keys.meta, *flat)


async def speaks(rig, keys) -> None:
    """The conversation is as well as any."""
    turn = (await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)).turn
    assert await rig.until_outcome(keys, turn) in ("complete", "audio_only")
    assert await rig.audio(keys, turn) == TENTH


async def state(store, keys) -> str:
    """The record's state, as soon as it can be read."""

    async def read() -> str:
        try:
            return (await conversations.read(store.client, keys)).state
        except Unreadable:
            return ""

    return await eventually(read, within_s=20)


async def until_ended(rig, keys, reason: str) -> None:
    await rig.until(keys, events.ConversationEnded(reason))
    await eventually(lambda: state(rig.store, keys), 20, until=lambda found: found == "ended")


@pytest.mark.parametrize("fields", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_record_ends_its_conversation_only(open_rig, fields) -> None:
    """Viewers receive its end, the record can be read again, and the worker serves the others."""
    async with open_rig() as rig:
        damaged, well = await rig.store.create(), await rig.store.create()
        await damage(rig.store, damaged, **fields)
        before = ENDED.labels("unreadable_record")._value.get()
        async with rig.worker():
            if "generation" in fields:  # the claim repairs it
                await speaks(rig, damaged)
            else:
                await until_ended(rig, damaged, "unreadable_record")
                assert ENDED.labels("unreadable_record")._value.get() == before + 1
            await speaks(rig, well)
        assert DEFECTS.labels("worker")._value.get() == 0


async def test_a_damaged_record_in_mid_turn(open_rig) -> None:
    """The turn that was spoken is closed for the players before the conversation ends."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        async with rig.worker():
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=False)
            await rig.until(keys, events.TurnStarted())
            await damage(rig.store, keys, talk_over="sometimes")
        async with rig.worker():
            await until_ended(rig, keys, "unreadable_record")

        frames = [frame for frame in await rig.frames(keys) if frame.turn == 1]
        assert sum(bool(frame.flags & Flags.END) for frame in frames if frame.kind is Kind.AUDIO) == 1
        assert await rig.published(keys, 1) == [
            events.TurnStarted(), events.AudioOnly("owner_changed"),
            events.Interrupted("unreadable_record"), events.TurnEnded("interrupted"),
        ]  # fmt: skip


async def test_the_chain_holds_where_the_tail_is_damaged(open_rig) -> None:
    """Its last position is read from the stream, so viewers see no gap."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        async with rig.worker():
            await speaks(rig, keys)
        last = (await rig.store.entries(keys.down))[-1][0]
        await damage(rig.store, keys, tail="junk")
        async with rig.worker():
            await rig.until(keys, events.OwnerChanged(last), events.ConversationEnded("unreadable_record"))


async def test_a_later_versions_record_is_left_alone(open_rig) -> None:
    """It is put off, each time for longer, and owned once a worker can read it."""
    async with open_rig() as rig:
        later, well = await rig.store.create(), await rig.store.create()
        await damage(rig.store, later, format=RECORD_FORMAT + 1, talk_over="sometimes")
        before = DEFERRED.labels("later_format")._value.get()
        async with rig.worker():
            waits = []
            for count in (1, 2, 3):
                await eventually(
                    lambda: rig.store.client.execute("HGET", later.meta, "deferred"),
                    20,
                    until=partial(eq, b"%d" % count),
                )
                due_ms = float(await rig.store.client.execute("ZSCORE", later.leases, later.id))
                now_s, _ = await rig.store.client.execute("TIME")
                waits.append(due_ms / 1000 - int(now_s))
                await rig.store.client.execute("ZADD", later.leases, 0, later.id)
            assert waits[0] < waits[1] < waits[2]
            assert DEFERRED.labels("later_format")._value.get() >= before + 3
            assert await rig.store.entries(later.down) == []
            await speaks(rig, well)
            await damage(rig.store, later, format=RECORD_FORMAT, talk_over="always")
            await rig.store.client.execute("ZADD", later.leases, 0, later.id)
            await speaks(rig, later)


async def test_an_impossible_state_ends_its_conversation_only(open_rig) -> None:
    """The record can be read, but its owner cannot work with it."""
    async with open_rig() as rig:
        impossible, well = await rig.store.create(), await rig.store.create()
        checkpoint = TurnState(turn=1, phase="speaking", audio_bytes=10**15).encode()
        await damage(rig.store, impossible, turn=1, checkpoint=checkpoint)
        before = DEFECTS.labels("start")._value.get()
        async with rig.worker():
            await until_ended(rig, impossible, "internal_error")
            assert (await rig.published(impossible))[0] == events.OwnerChanged("0-0")
            assert DEFECTS.labels("start")._value.get() == before + 1
            await speaks(rig, well)


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
async def test_an_entry_that_cannot_be_read_is_one_entry(open_rig, entry) -> None:
    """The conversation continues after it."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        await rig.store.client.execute(
            "XADD", keys.up, "*", *[part for field in entry.items() for part in field]
        )
        async with rig.worker():
            await speaks(rig, keys)


async def test_what_is_no_offer_stops_no_queue(open_rig) -> None:
    """Names that are no text, conversations of another partition, records that are something else."""
    async with open_rig() as rig:
        well = await rig.store.create()
        elsewhere = next(
            keys for keys in [await rig.store.create() for _ in range(40)] if keys.unowned != well.unowned
        )
        strange = next(
            keys
            for keys in (rig.store.keys.conversation(f"strange-{n}") for n in range(1000))
            if keys.unowned == well.unowned
        )
        await rig.store.client.execute("SET", strange.meta, "no hash")
        for fields in (("c", b"\xff\xfe"), ("c", elsewhere.id), ("c", strange.id), ("x", "")):
            await rig.store.client.execute("XADD", well.unowned, "*", *fields)
        async with rig.worker():
            await speaks(rig, well)
            await speaks(rig, elsewhere)
            await eventually(
                lambda: rig.store.client.execute("XPENDING", well.unowned, "ingest"),
                within_s=20,
                until=lambda pending: not pending[0],
            )


async def test_a_lease_that_never_expires_is_none(open_rig) -> None:
    """No worker renews it."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        await rig.store.client.execute("SET", keys.lease, "nobody 1")
        async with rig.worker():
            await speaks(rig, keys)


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
async def test_what_scripts_read_may_be_damaged(open_rig, field: str) -> None:
    """While the conversation is owned: it is spoken in, interrupted and ended all the same."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        async with rig.worker():
            turn = (await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=False)).turn
            await rig.until(keys, events.TurnStarted())
            await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
            await rig.until_outcome(keys, turn)
            sums = await rig.store.client.execute("HGET", keys.meta, "up_in")
            await damage(rig.store, keys, **{"in_quiet": sums, field: "junk"})
            await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
            await speaks(rig, keys)
            await rig.up.append(keys, uplink.Close("deleted"))
            await until_ended(rig, keys, "deleted")


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


async def test_viewers_receive_no_text_of_the_vendor(open_rig, caplog) -> None:
    """A server that repeats the key it was sent: viewers get the code and a sentence of ours."""

    async def repeat(request: web.Request) -> web.Response:
        return web.Response(status=403, text=f"no such key: {request.headers['X-Api-Key']} at host 10.1.2.3")

    console = web.Application()
    console.router.add_route("*", "/{path:.*}", repeat)
    async with (
        listen(console, "127.0.0.1", 0) as url,
        open_rig(SPATIUS_CONSOLE_ENDPOINT=url) as rig,
        rig.worker(),
    ):
        keys = await rig.store.create()
        await rig.up.append_speech(keys, offset=0, pcm=TENTH * 10, end=True)
        assert await rig.until_outcome(keys, 1) == "audio_only"
        errors = [event for event in await rig.published(keys) if isinstance(event, events.Error)]
        stored = b"".join(bytes(frame.payload) for frame in await rig.frames(keys))
    assert [error.message for error in errors] == [MESSAGES[errors[0].code]]
    assert b"10.1.2.3" not in stored
    assert b"right" not in stored
