"""The uplink: speech exactly once, turns that never interleave, bounded waiting; on every server."""

import asyncio
from contextlib import suppress

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.replication import replicate

from relay_redis.client import RedisClient
from relay_streams.conversations import read
from relay_streams.errors import (
    Ended,
    Missing,
    OffsetGap,
    SpeakerBusy,
    TurnClosed,
    Unreplicated,
    UplinkFull,
)
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.find_turn import TurnInputState
from relay_streams.turn_input import TurnInput
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.trace_context import Context
from relay_wire import uplink

TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
OTHER = "00-" + "1" * 32 + "-" + "3" * 16 + "-01"


async def test_a_turn_in_chunks(open_store) -> None:
    """Opened by its first chunk, numbered, offsets counted, ended by its last."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)

        first = await up.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False, trace=TRACE)
        second = await up.append_speech(keys, turn=first.turn, offset=first.offset, pcm=b"bb", end=True)

        assert (first, second) == ((1, 4), (1, 6))
        assert await store.uplink(keys) == [
            uplink.SpeechChunk(1, 0, b"aaaa", traceparent=TRACE),
            uplink.SpeechChunk(1, 4, b"bb", end=True),
        ]
        record = await read(store.client, keys)
        assert (record.input_turn, record.input_state, record.input_offset) == (1, "ended", 6)


async def test_the_trace_of_a_turns_input(open_store) -> None:
    """The record keeps the opening's until the next turn opens; a later request's is an entry's alone."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        traces = []
        for turn, trace, end in ((0, f"{TRACE} v=1,w=2", False), (1, OTHER, True), (0, "", True)):
            offset = 2 if turn else 0
            await up.append_speech(keys, turn=turn, offset=offset, pcm=b"aa", end=end, trace=trace)
            traces.append((await read(store.client, keys)).input_trace)

        assert traces == [(TRACE, "v=1,w=2"), (TRACE, "v=1,w=2"), ("", "")]
        assert [(entry.traceparent, entry.tracestate) for entry in await store.uplink(keys)] == [
            (TRACE, "v=1,w=2"), (OTHER, ""), ("", ""),
        ]  # fmt: skip


async def test_a_turn_input_stores_its_trace_where_it_begins(open_store) -> None:
    """Once when it opens a turn, once when it resumes one."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)

        def speaker(trace: str) -> TurnInput:
            return TurnInput(
                uplink=up, keys=keys, source="socket", wait_s=5, chunk_bytes=2, buffer_bytes=0, key="k",
                trace=Context.decode(trace),
            )  # fmt: skip

        first, second = speaker(f"{TRACE} v=1"), speaker(OTHER)
        await first.append(b"aaaa")
        await first.append(b"bb")
        found = await up.find(keys, key="k")
        assert found is not None
        second.resume(found)
        await second.append(b"cccc", end=True)

        assert [entry.traceparent for entry in await store.uplink(keys)] == [TRACE, "", "", OTHER, ""]


async def test_a_repeated_chunk_is_in_once(open_store) -> None:
    """A speaker that does not know whether it arrived repeats it."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False)
        for _ in range(3):
            assert await up.append_speech(keys, turn=1, offset=4, pcm=b"bb", end=False) == (1, 6)
        assert await up.append_speech(keys, turn=1, offset=0, pcm=b"aaaa", end=False) == (1, 6)

        assert len(await store.uplink(keys)) == 2


async def test_a_missing_chunk_is_an_error(open_store) -> None:
    """Speech never has a hole."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False)

        with pytest.raises(OffsetGap) as missed:
            await up.append_speech(keys, turn=1, offset=8, pcm=b"cc", end=False)
        assert missed.value.offset == 4


async def test_turns_do_not_interleave(open_store) -> None:
    """While one is being spoken another cannot open; two that try at once: one does."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        results = await asyncio.gather(
            *(up.append_speech(keys, turn=0, offset=0, pcm=b"aa", end=False) for _ in range(5)),
            return_exceptions=True,
        )

        assert sorted(type(result).__name__ for result in results) == ["Appended"] + ["SpeakerBusy"] * 4
        assert all(result.turn == 1 for result in results)
        await up.append_speech(keys, turn=1, offset=2, pcm=b"", end=True)
        assert await up.append_speech(keys, turn=0, offset=0, pcm=b"bb", end=True) == (2, 2)


async def test_barging_in_closes_the_open_turn(open_store) -> None:
    """Its input ends whole; the new turn is marked as a barge-in."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False)

        assert await up.append_speech(keys, turn=0, offset=0, pcm=b"bb", end=False, barge_in=True) == (2, 2)
        assert (await store.uplink(keys))[1:] == [
            uplink.SpeechChunk(1, 4, b"", end=True),
            uplink.SpeechChunk(2, 0, b"bb", barge_in=True),
        ]
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, offset=4, pcm=b"cc", end=False)


async def test_a_turn_left_open_does_not_block_for_ever(open_store) -> None:
    """A speaker that is silent too long may be superseded; its turn ends whole."""
    async with open_store() as store:
        keys = await store.create()
        patient, impatient = Uplink(store.client), Uplink(store.client, UplinkLimits(silence_ms=10))
        await patient.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False)
        await asyncio.sleep(0.05)
        with pytest.raises(SpeakerBusy):
            await patient.append_speech(keys, turn=0, offset=0, pcm=b"bb", end=False)

        assert (await impatient.append_speech(keys, turn=0, offset=0, pcm=b"bb", end=False)).turn == 2
        assert (await store.uplink(keys))[1] == uplink.SpeechChunk(1, 4, b"", end=True)


async def test_silence_cuts(open_store) -> None:
    """What comes after it would find no owner that listens: it is refused, not acknowledged."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(silence_ms=10))
        await up.append_speech(keys, key="k", offset=0, pcm=b"aaaa", end=False)
        await asyncio.sleep(0.05)

        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, key="k", offset=4, pcm=b"bb", end=False)
        assert await up.find(keys, turn=1) == TurnInputState(1, 4, "cut", "k")
        assert (await store.uplink(keys))[1:] == [uplink.SpeechChunk(1, 4, b"", end=True)]


async def test_audio_that_waits_for_room_is_no_silence(open_store) -> None:
    """A speaker may wait for longer than it may be silent."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(entries=64, silence_ms=60_000))
        spoken = await up.append_speech(keys, key="k", offset=0, pcm=bytes(64), end=False, entry_bytes=1)
        seconds, _ = await store.client.execute("TIME")
        await store.client.execute("HSET", keys.meta, "in_at", (int(seconds) - 30) * 1000)

        with pytest.raises(UplinkFull):
            await up.append_speech(keys, turn=1, key="k", offset=spoken.offset, pcm=b"more", end=True)

        assert int(await store.client.execute("HGET", keys.meta, "in_at")) >= int(seconds) * 1000


async def test_replicas_must_have_it(open_store, redis_server, other_server) -> None:
    """Without them speech is not acknowledged; with them it is, and saying it again repeats nothing."""
    async with (
        open_store() as store,
        RedisClient(other_server.url, SCHEMA, name="replica") as replica,
    ):
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(replicas=1, replicas_wait_ms=50))
        with pytest.raises(Unreplicated, match="0 of 1 replicas"):
            await up.append_speech(keys, key="k", offset=0, pcm=b"aaaa", end=True)

        await replicate(store.client, replica, redis_server)

        async def appended() -> object:
            with suppress(Unreplicated):
                return await up.append_speech(keys, key="k", offset=0, pcm=b"aaaa", end=True)
            return None

        assert await eventually(appended, 20) == (1, 4)
        assert await replica.execute("HGET", keys.meta, "in_offset") == b"4"
        assert len(await store.uplink(keys)) == 1


async def test_an_interrupt_names_the_last_turn_and_closes_it(open_store) -> None:
    """What was opened so far is meant, nothing later."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        assert (await up.append(keys, uplink.Interrupt(reason="viewer"))).turn == 0
        await up.append_speech(keys, turn=0, offset=0, pcm=b"aaaa", end=False)

        assert (await up.append(keys, uplink.Interrupt(reason="viewer"))).turn == 1
        with pytest.raises(TurnClosed):
            await up.append_speech(keys, turn=1, offset=4, pcm=b"bb", end=False)
        assert (await up.append_speech(keys, turn=0, offset=0, pcm=b"cc", end=False)).turn == 2
        assert (await store.uplink(keys))[2] == uplink.Interrupt(1, "viewer")


async def test_reports_pass_through(open_store) -> None:
    """Playback, text and microphone audio reach the owner as they are."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append(keys, uplink.Playback(3, "finished", 99, "v1"))
        await up.append(keys, uplink.Text("héllo"))
        await up.append(keys, uplink.Microphone(b"\x00\xff"))

        assert await store.uplink(keys) == [
            uplink.Playback(3, "finished", 99, "v1"), uplink.Text("héllo"), uplink.Microphone(b"\x00\xff"),
        ]  # fmt: skip


async def test_waiting_is_bounded_in_count(open_store) -> None:
    """At the limit speech and reports are refused; what stops the avatar is not."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(entries=3))
        await up.append_speech(keys, turn=0, offset=0, pcm=b"aa", end=False)
        await up.append_speech(keys, turn=1, offset=2, pcm=b"aa", end=False)
        await up.append_speech(keys, turn=1, offset=4, pcm=b"aa", end=False)
        with pytest.raises(UplinkFull):
            await up.append_speech(keys, turn=1, offset=6, pcm=b"aa", end=False)
        with pytest.raises(UplinkFull):
            await up.append(keys, uplink.Text("hi"))

        assert (await up.append(keys, uplink.Interrupt(reason="viewer"))).turn == 1
        await store.client.execute("XTRIM", keys.up, "MAXLEN", "0")
        assert (await up.append_speech(keys, turn=0, offset=0, pcm=b"aa", end=False)).turn == 2


async def test_waiting_is_bounded_in_bytes(open_store) -> None:
    """Whatever the owner has consumed makes room again."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client, UplinkLimits(bytes=100_000))
        offset, turn = 0, 0
        with pytest.raises(UplinkFull):
            while True:
                turn, offset = await up.append_speech(
                    keys, turn=turn, offset=offset, pcm=bytes(4000), end=False
                )
        assert 90_000 <= offset <= 100_000
        entries = await store.entries(keys.up)
        await store.client.execute("XTRIM", keys.up, "MINID", entries[10][0])

        assert (
            await up.append_speech(keys, turn=turn, offset=offset, pcm=bytes(4000), end=False)
        ).offset == offset + 4000


async def test_a_long_piece_becomes_entries(open_store) -> None:
    """In order, opened by the first and ended by the last; what is in of it is not taken again."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        pcm = bytes(range(100))
        await up.append_speech(
            keys, key="k", offset=0, pcm=pcm[:40], end=False, barge_in=True, entry_bytes=30
        )
        spoken = await up.append_speech(keys, turn=1, key="k", offset=0, pcm=pcm, end=True, entry_bytes=30)

        assert spoken == (1, 100)
        assert await store.uplink(keys) == [
            uplink.SpeechChunk(1, 0, pcm[:30], key="k", barge_in=True), uplink.SpeechChunk(1, 30, pcm[30:40]),
            uplink.SpeechChunk(1, 40, pcm[40:60]), uplink.SpeechChunk(1, 60, pcm[60:90]),
            uplink.SpeechChunk(1, 90, pcm[90:], end=True),
        ]  # fmt: skip


async def test_as_much_of_a_piece_as_there_is_room_for(open_store) -> None:
    """In count as in bytes; the turn stays open until the rest is in, too."""
    async with open_store() as store:
        keys = await store.create()
        few = Uplink(store.client, UplinkLimits(entries=3))
        assert await few.append_speech(keys, offset=0, pcm=bytes(50), end=True, entry_bytes=10) == (1, 30)
        with pytest.raises(UplinkFull):
            await few.append_speech(keys, turn=1, offset=30, pcm=bytes(20), end=True, entry_bytes=10)
        small = Uplink(store.client, UplinkLimits(bytes=25))
        await store.client.execute("XTRIM", keys.up, "MAXLEN", "0")
        assert await small.append_speech(
            keys, turn=1, offset=30, pcm=bytes(50), end=True, entry_bytes=10
        ) == (1, 50)
        await store.client.execute("XTRIM", keys.up, "MAXLEN", "0")
        assert await small.append_speech(keys, turn=1, offset=50, pcm=b"", end=True) == (1, 50)
        assert [e.end for e in await store.uplink(keys)] == [True]


async def test_closing_ends_input(open_store) -> None:
    """After a close nothing is taken but another close."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append(keys, uplink.Close("deleted"))
        for attempt in (
            up.append_speech(keys, turn=0, offset=0, pcm=b"aa", end=False),
            up.append(keys, uplink.Interrupt(reason="x")),
            up.append(keys, uplink.Text("x")),
        ):
            with pytest.raises(Ended):
                await attempt
        await up.append(keys, uplink.Close("deleted"))

        assert (await read(store.client, keys)).state == "closing"
        assert await store.uplink(keys) == [uplink.Close("deleted")], "the owner has not read the first"
        await store.client.execute("DEL", keys.up)
        await up.append(keys, uplink.Close("deleted"))
        assert await store.uplink(keys) == [uplink.Close("deleted")], "Redis had lost the first"


async def test_an_unknown_conversation(open_store) -> None:
    """There is nothing to append to, and nothing is created."""
    async with open_store() as store:
        keys = store.keys.conversation("unknown")
        up = Uplink(store.client)
        with pytest.raises(Missing):
            await up.append_speech(keys, turn=0, offset=0, pcm=b"aa", end=False)
        with pytest.raises(Missing):
            await up.append(keys, uplink.Interrupt(reason="x"))

        assert await store.client.execute("DBSIZE") == 0


async def test_the_scripts_write_what_encode_states(open_store) -> None:
    """The stream's fields are those of each entry's ``encode``, and the sums beside them."""
    async with open_store() as store:
        keys = await store.create()
        up = Uplink(store.client)
        await up.append_speech(
            keys, key="k", offset=0, pcm=b"abcd", end=True, barge_in=True, trace=TRACE, entry_bytes=2
        )
        sent: list[uplink.Message] = [
            uplink.Playback(1, "started", 5, "v"), uplink.Text("hi"), uplink.Microphone(b"ab"),
            uplink.ClipRequest("c"), uplink.Interrupt(1, "x"), uplink.Close("y"),
        ]  # fmt: skip
        for message in sent:
            await up.append(keys, message)
        expected: list[uplink.Entry] = [
            uplink.SpeechChunk(1, 0, b"ab", barge_in=True, traceparent=TRACE, key="k"),
            uplink.SpeechChunk(1, 2, b"cd", end=True),
            *sent,
        ]

        written = [fields for _, fields in await store.entries(keys.up)]
        assert all(b"c" in fields for fields in written)
        for fields, entry in zip(written, expected, strict=True):
            encoded = [part if isinstance(part, bytes) else str(part).encode() for part in entry.encode()]
            assert fields.items() - {(b"c", fields[b"c"])} == set(
                zip(encoded[::2], encoded[1::2], strict=True)
            )
