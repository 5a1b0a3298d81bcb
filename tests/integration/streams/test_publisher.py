"""The publisher: order, atomicity, idempotence, fencing, retention; on every server."""

import asyncio
import time

import pytest

from relay_redis.pubsub import PubSub
from relay_streams.errors import Fenced
from relay_streams.notification import inline_entries
from relay_streams.publish_metrics import PUBLISHED_AT, STREAM_BYTES
from relay_streams.publisher import Publisher
from relay_streams.scripts.call import run
from relay_streams.scripts.publish import publish
from relay_turns.effects import Publish
from relay_wire import frame
from relay_wire.frame import MAX_PAYLOAD_BYTES, Flags, FrameError, Kind
from relay_wire.position import Position

CHECKPOINT = b'{"turn":1}'


def limit() -> asyncio.Timeout:
    return asyncio.timeout(10)


def audio(turn: int, size: int = 10, *, media_ms: int = 0, end: bool = False) -> Publish:
    return Publish(Kind.AUDIO, turn, bytes([turn]) * size, media_ms, end)


def motion(turn: int, size: int = 20) -> Publish:
    return Publish(Kind.MOTION, turn, bytes([turn]) * size, 0)


async def test_frames_appear_as_appended(open_store) -> None:
    """Ids are positions, headers are right, a field has their trace."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        writer.append([audio(1, media_ms=7)], checkpoint=CHECKPOINT, uplink_cursor="5-1", traces=["00-aa"])
        writer.append([motion(1), audio(1, end=True)], checkpoint=b"{}", uplink_cursor="5-2")
        await writer.drained()

        entries = await store.entries(lease.keys.down)
        frames = [frame.decode(fields[b"f"]) for _, fields in entries]
        assert [entry for entry, _ in entries] == [f"{lease.generation}-{seq}" for seq in (1, 2, 3)]
        assert [str(decoded.position) for decoded in frames] == [entry for entry, _ in entries]
        assert [(f.kind, f.turn, f.media_ms, f.flags) for f in frames] == [
            (Kind.AUDIO, 1, 7, Flags.NONE),
            (Kind.MOTION, 1, 0, Flags.NONE),
            (Kind.AUDIO, 1, 0, Flags.END),
        ]
        assert [fields.get(b"traceparent") for _, fields in entries] == [b"00-aa", None, None]
        assert not any(b"tracestate" in fields for _, fields in entries)
        assert writer.last_position == Position(lease.generation, 3)
        assert writer.backlog_bytes == 0


async def test_what_streams_keep_is_measured(open_store) -> None:
    """The bytes of the frames that a writer has in its stream, trimmed ones not; none once it is closed."""
    before, at = STREAM_BYTES.value, int(time.time())
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        for turn in (1, 2, 3):
            writer.append([audio(turn, 1000)], checkpoint=CHECKPOINT)
        await writer.drained()
        kept = [fields[b"f"] for _, fields in await store.entries(lease.keys.down)]
        assert STREAM_BYTES.value - before == sum(map(len, kept))
        assert len(kept) == 2
        writer.close()
        writer.close()

    assert STREAM_BYTES.value == before
    assert at <= PUBLISHED_AT.value <= time.time()


async def test_the_record_moves_with_the_frames(open_store) -> None:
    """Tail, turn, its first position, phase, up cursor and checkpoint are those of the last frame."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        writer.append([audio(1), audio(1)], checkpoint=CHECKPOINT, uplink_cursor="5-1")
        writer.append(
            [audio(2)],
            checkpoint=b"any bytes",
            turn_phase="playing",
            turn_ends_at_ms=1234,
            uplink_cursor="5-2",
        )
        await writer.drained()

        from relay_streams.conversations import read

        record = await read(store.client, lease.keys)
        g = lease.generation
        assert (record.last_position, record.turn, record.turn_first, record.turn_before) == (
            Position(g, 3), 2, Position(g, 3), Position(g, 1),
        )  # fmt: skip
        assert (record.uplink_cursor, record.checkpoint) == ("5-2", b"any bytes")
        assert (record.turn_phase, record.turn_ends_at_ms) == ("playing", 1234)


async def test_a_tick_is_one_call_per_conversation(open_store) -> None:
    """What is appended in one tick leaves together: one script call each, whatever the number of frames."""
    async with open_store() as store, Publisher(store.url) as publisher:
        leases = [await store.claim(await store.create()) for _ in range(5)]
        writers = [store.writer(publisher, lease) for lease in leases]
        await publisher.client.ready()
        await store.client.execute("CONFIG", "RESETSTAT")
        for writer in writers:
            for _ in range(20):
                writer.append([audio(1)], checkpoint=CHECKPOINT)
        await asyncio.gather(*(writer.drained() for writer in writers))

        stats = (await store.client.execute("INFO", "commandstats")).decode()
        calls = next(line for line in stats.splitlines() if line.startswith("cmdstat_evalsha"))
        assert "calls=5," in calls
        for lease in leases:
            assert len(await store.entries(lease.keys.down)) == 20


async def test_hints_tell_what_is_new(open_store) -> None:
    """The frames of the call, after the one they follow; and only that they are there when they are large."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        notifications: asyncio.Queue[bytes] = asyncio.Queue()
        async with (
            PubSub(store.url, lambda _, payload: notifications.put_nowait(payload), name="test") as pubsub,
            limit(),
        ):
            pubsub.subscribe(lease.keys.down)
            assert await notifications.get() == b"", "the subscription itself"
            writer = store.writer(publisher, lease)
            writer.append(
                [audio(1), motion(1)],
                checkpoint=CHECKPOINT,
                uplink_cursor="5-1",
                traces=["00-aa v=1 ;,w=2", ""],
            )
            first = inline_entries(await notifications.get(), b"0-0")
            writer.append([audio(1)], checkpoint=CHECKPOINT)
            payload = await notifications.get()
            second = inline_entries(payload, first[-1][0])
            writer.append([audio(1, size=200_000)], checkpoint=CHECKPOINT)
            assert await notifications.get() == b""

        read = await store.client.execute("XRANGE", lease.keys.down, "-", "+", "COUNT", 3)
        assert [list(entry) for entry in (*first, *second)] == [[id_, tuple(f)] for id_, f in read]
        assert first[0][1][2:] == (b"traceparent", b"00-aa", b"tracestate", b"v=1 ;,w=2")
        assert inline_entries(payload, b"0-0") == ()


async def test_a_repeated_call_notifies_of_nothing_twice(open_store) -> None:
    """Frames that the stream has are not new: the notification of a repeated call has none inline."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        position = Position(lease.generation, 1)
        call = publish(
            lease.keys,
            generation=lease.generation,
            first_seq=1,
            turn=1,
            turn_first=position,
            turn_before=position,
            trim_to=None,
            uplink_cursor="",
            checkpoint=CHECKPOINT,
            turn_phase="idle",
            turn_ends_at_ms=0,
            frames=[b"frame", ""],
        )
        notifications: asyncio.Queue[bytes] = asyncio.Queue()
        async with (
            PubSub(store.url, lambda _, data: notifications.put_nowait(data), name="test") as pubsub,
            limit(),
        ):
            pubsub.subscribe(lease.keys.down)
            await notifications.get()
            assert await run(publisher.client, call) == 1
            assert inline_entries(await notifications.get(), b"0-0")
            assert await run(publisher.client, call) == 1
            assert await notifications.get() == b""


async def test_broken_connections_lose_and_repeat_nothing(open_store) -> None:
    """The publisher's connection is cut again and again in the middle of it: every frame is there once."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        for round_number in range(20):
            await publisher.client.ready()
            for _ in range(50):
                writer.append([audio(1, size=round_number + 1)], checkpoint=CHECKPOINT)
            await asyncio.sleep(0)
            await store.cut("publish")
        await writer.drained()

        entries = await store.entries(lease.keys.down)
        assert [entry for entry, _ in entries] == [f"{lease.generation}-{n}" for n in range(1, 1001)]
        sizes = [len(frame.decode(fields[b"f"]).payload) for _, fields in entries]
        assert sizes == [n // 50 + 1 for n in range(1000)]
        assert store.lost == []


async def test_a_full_store_is_waited_for(open_store, eventually) -> None:
    """OOM: nothing is lost and there is no hole; it continues when there is memory."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        await store.client.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            for _ in range(10):
                writer.append([audio(1)], checkpoint=CHECKPOINT)
                await asyncio.sleep(0)
            await eventually(lambda: writer._failures > 1)
            assert writer.backlog_bytes == 10 * (10 + frame.HEADER_BYTES)
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        await writer.drained()

        assert len(await store.entries(lease.keys.down)) == 10


async def test_a_replaced_owner_is_fenced(open_store) -> None:
    """After the next claim nothing of the old owner is written, even before the new one writes."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        lease = await store.claim(keys)
        zombie = store.writer(publisher, lease)
        zombie.append([audio(1)], checkpoint=CHECKPOINT)
        await zombie.drained()
        await store.registry().release(lease)
        successor = await store.claim(keys, "other")

        zombie.append([audio(1)], checkpoint=CHECKPOINT)
        await zombie.drained()

        assert successor.generation > lease.generation
        assert [type(error) for error in store.lost] == [Fenced]
        assert store.lost[0].generation == successor.generation
        assert len(await store.entries(keys.down)) == 1
        zombie.append([audio(1)], checkpoint=CHECKPOINT)  # closed: goes nowhere
        await zombie.drained()
        assert len(await store.entries(keys.down)) == 1


async def test_the_stream_fences_although_the_record_was_lost(open_store) -> None:
    """A record with an older generation does not let it write below what the stream has."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        old = await store.claim(keys)
        await store.registry().release(old)
        new = await store.claim(keys, "other")
        writer = store.writer(publisher, new)
        writer.append([audio(1)], checkpoint=CHECKPOINT)
        await writer.drained()
        await store.client.execute("HSET", keys.meta, "generation", old.generation, "tail", "0-0")

        zombie = store.writer(publisher, old)
        zombie.append([audio(1)], checkpoint=CHECKPOINT)
        await zombie.drained()

        assert [type(error) for error in store.lost] == [Fenced]
        assert len(await store.entries(keys.down)) == 1


async def test_too_large_a_payload_spoils_nothing(open_store) -> None:
    """The append that holds it is refused as a whole; the next has the next position."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        with pytest.raises(FrameError):
            writer.append([audio(1), audio(1, size=MAX_PAYLOAD_BYTES + 1)], checkpoint=CHECKPOINT)
        writer.append([audio(1, size=MAX_PAYLOAD_BYTES)], checkpoint=CHECKPOINT)
        await writer.drained()

        assert [entry for entry, _ in await store.entries(lease.keys.down)] == [f"{lease.generation}-1"]


async def test_two_turns_are_kept(open_store) -> None:
    """The third turn's first frame lets the first turn go."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        for turn in (1, 2, 3, 4):
            for _ in range(3):
                writer.append([audio(turn)], checkpoint=CHECKPOINT)
                await writer.drained()

        kept = [frame.decode(fields[b"f"]).turn for _, fields in await store.entries(lease.keys.down)]
        assert kept == [3, 3, 3, 4, 4, 4]


async def test_two_turns_are_kept_across_owners(open_store) -> None:
    """The next owner knows where the turn before began."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        for first_turn in (1, 3):
            lease = await store.claim(keys)
            writer = store.writer(publisher, lease)
            for turn in (first_turn, first_turn + 1):
                writer.append([audio(turn), audio(turn)], checkpoint=CHECKPOINT)
            await writer.drained()
            kept = [frame.decode(fields[b"f"]).turn for _, fields in await store.entries(keys.down)]
            assert kept == [first_turn, first_turn, first_turn + 1, first_turn + 1]
            await store.registry().release(lease)


async def test_bytes_are_capped(open_store) -> None:
    """One endless turn does not grow without end."""
    async with open_store() as store, Publisher(store.url, retention_bytes=10_000) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        for _ in range(50):
            writer.append([audio(1, size=1000)], checkpoint=CHECKPOINT)
            await writer.drained()

        entries = await store.entries(lease.keys.down)
        assert [entry for entry, _ in entries] == [f"{lease.generation}-{n}" for n in range(42, 51)]


async def test_consumed_speech_is_trimmed(open_store) -> None:
    """The up stream keeps what comes after the cursor, and the cursor's own entry."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        for number in range(1, 6):
            await store.client.execute("XADD", lease.keys.up, f"{number}-0", "k", "text", "d", "x")
        writer = store.writer(publisher, lease)
        writer.append([], checkpoint=CHECKPOINT, uplink_cursor="3-0")
        await writer.drained()

        assert [entry for entry, _ in await store.entries(lease.keys.up)] == ["3-0", "4-0", "5-0"]
        assert await store.entries(lease.keys.down) == []
