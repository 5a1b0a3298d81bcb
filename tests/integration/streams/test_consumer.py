"""The stream consumer: every entry after the cursor, once, in order, under every failure; on every server."""

import asyncio
import random
import struct
from collections import defaultdict

import pytest
from tests.rigs.proxy import Proxy

from relay_streams.consumer import STALLS, Entry, StreamConsumer
from relay_streams.partition import READS


def streams(count: int) -> list[str]:
    return [f"relay:{{p{n % 4:02d}}}:c:stream-{n}:down" for n in range(count)]


class Reader:
    """Collects what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.batches: list[int] = []
        self.failures: list[Exception] = []

    def deliver(self, entries: list[Entry]) -> None:
        self.entries += entries
        self.batches.append(len(entries))

    @property
    def seqs(self) -> list[int]:
        return [int(entry_id.split(b"-")[1]) for entry_id, _ in self.entries]

    def subscribe(self, consumer: StreamConsumer, stream: str, cursor: str = "0-0"):
        return consumer.subscribe(stream, int(stream[8:10]), cursor, self.deliver, self.failures.append)


async def add(store, stream: str, *seqs: int, notify: bool = True) -> None:
    for seq in seqs:
        store.client.submit(("XADD", stream, f"1-{seq}", "f", f"frame {seq}"))
    await store.client.execute(*(("SPUBLISH", stream, "") if notify else ("PING",)))


async def test_everything_after_the_cursor(open_store, eventually) -> None:
    """What was there, and what comes."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=60) as consumer:
        stream = streams(1)[0]
        await add(store, stream, 1, 2, 3)
        reader = Reader()
        reader.subscribe(consumer, stream, "1-1")
        await eventually(lambda: reader.seqs == [2, 3])
        await add(store, stream, 4, 5)

        await eventually(lambda: reader.seqs == [2, 3, 4, 5])
        assert reader.entries[-1][1] == [b"f", b"frame 5"]


async def notify_inline(store, stream: str, *seqs: int, after: str, lose: bool = False) -> None:
    """Add entries, and publish them inline in a notification unless it is lost."""
    parts = [f"{after}\t".encode()]
    for seq in seqs:
        id_, frame = f"1-{seq}".encode(), f"frame {seq}".encode()
        store.client.submit(("XADD", stream, id_, "f", frame))
        parts.append(struct.pack(">BHI", len(id_), 0, len(frame)) + id_ + frame)
    await store.client.execute(*(("PING",) if lose else ("SPUBLISH", stream, b"".join(parts))))


async def test_inline_entries_are_not_read(open_store, eventually) -> None:
    """The cursor of the reader is just before them."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=60) as consumer:
        stream, reader = streams(1)[0], Reader()
        reads = READS.value
        reader.subscribe(consumer, stream)
        await eventually(lambda: READS.value == reads + 2)  # at once, and when it is subscribed
        await notify_inline(store, stream, 1, 2, after="0-0")
        await notify_inline(store, stream, 3, after="1-2")

        await eventually(lambda: reader.seqs == [1, 2, 3])
        assert READS.value == reads + 2
        assert reader.entries[-1] == (b"1-3", (b"f", b"frame 3"))


async def test_inline_entries_of_another_cursor(open_store, eventually) -> None:
    """What is not next is read: after a lost notify, a repeated one, and one from elsewhere."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=60) as consumer:
        stream, reader = streams(1)[0], Reader()
        reader.subscribe(consumer, stream)
        await notify_inline(store, stream, 1, after="0-0", lose=True)
        await notify_inline(store, stream, 2, after="1-1")
        await eventually(lambda: reader.seqs == [1, 2])
        await store.client.execute("SPUBLISH", stream, b"0-0\t" + struct.pack(">BI", 3, 1) + b"1-1x")
        await store.client.execute("SPUBLISH", stream, b"1-2\tnonsense")
        await store.client.execute("SPUBLISH", stream, b"1-2\t")
        await notify_inline(store, stream, 3, 4, after="1-2")

        await eventually(lambda: reader.seqs == [1, 2, 3, 4])
        assert reader.failures == []


async def test_inline_entries_and_reads_at_once(open_store, eventually) -> None:
    """Notifications with and without entries, and lost ones, during reads: every entry once, in order."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.1) as consumer:
        readers = {stream: Reader() for stream in streams(20)}
        for stream, reader in readers.items():
            reader.subscribe(consumer, stream)
        chance = random.Random(1)
        for seq in range(1, 101):
            for stream in readers:
                after = f"1-{seq - 1}" if seq > 1 else "0-0"
                if chance.random() < 0.2:
                    await add(store, stream, seq, notify=chance.random() < 0.5)
                else:
                    await notify_inline(store, stream, seq, after=after, lose=chance.random() < 0.1)

        await eventually(lambda: all(f.seqs == list(range(1, 101)) for f in readers.values()))


async def test_many_streams(open_store, eventually) -> None:
    """Each reader gets every entry of its stream, in order."""
    async with open_store() as store, StreamConsumer(store.url, name="test", batch_streams=7) as consumer:
        readers = {stream: Reader() for stream in streams(100)}
        for stream, reader in readers.items():
            reader.subscribe(consumer, stream)
        for seq in range(1, 21):
            await asyncio.gather(*(add(store, stream, seq) for stream in readers))

        await eventually(lambda: all(f.seqs == list(range(1, 21)) for f in readers.values()))


async def test_batches_are_bounded(open_store, eventually) -> None:
    """A limit bounds the entries in memory."""
    async with open_store() as store, StreamConsumer(store.url, name="test", batch_entries=8) as consumer:
        stream = streams(1)[0]
        await add(store, stream, *range(1, 101))
        reader = Reader()
        reader.subscribe(consumer, stream)
        await eventually(lambda: len(reader.entries) == 100)

        assert max(reader.batches) == 8


async def test_a_lost_notification_costs_only_time(open_store, eventually) -> None:
    """The sweep finds entries without a notification."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.1) as consumer:
        stream = streams(1)[0]
        reader = Reader()
        reader.subscribe(consumer, stream)
        await add(store, stream, 1, 2, notify=False)

        await eventually(lambda: reader.seqs == [1, 2])


async def test_a_paused_reader_gets_nothing(open_store, eventually) -> None:
    """Until it resumes, from its cursor; the others continue."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.05) as consumer:
        slow, other = Reader(), Reader()
        first, second = streams(2)
        subscription = slow.subscribe(consumer, first)
        other.subscribe(consumer, second)
        subscription.pause()
        await add(store, first, 1, 2)
        await add(store, second, 1, 2)
        await eventually(lambda: other.seqs == [1, 2])
        assert slow.seqs == []
        subscription.resume()

        await eventually(lambda: slow.seqs == [1, 2])


async def test_seeking_back_reads_again(open_store, eventually) -> None:
    """A reader sets the cursor from which it continues."""
    async with open_store() as store, StreamConsumer(store.url, name="test") as consumer:
        stream = streams(1)[0]
        reader = Reader()
        subscription = reader.subscribe(consumer, stream)
        await add(store, stream, 1, 2, 3)
        await eventually(lambda: reader.seqs == [1, 2, 3])
        subscription.seek("1-1")

        await eventually(lambda: reader.seqs == [1, 2, 3, 2, 3])


async def test_closing_is_final(open_store, eventually) -> None:
    """Nothing is delivered after it, and the stream can be subscribed again."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.05) as consumer:
        stream = streams(1)[0]
        first, second = Reader(), Reader()
        subscription = first.subscribe(consumer, stream)
        with pytest.raises(ValueError, match="already subscribed"):
            first.subscribe(consumer, stream)
        subscription.close()
        subscription.close()
        await add(store, stream, 1)
        second.subscribe(consumer, stream)
        await eventually(lambda: second.seqs == [1])

        assert first.entries == []


async def test_a_defect_of_one_reader_is_its_own(open_store, eventually, no_blocking) -> None:
    """Its failure callback is called and it is removed; the others get their entries."""
    no_blocking.deactivate()  # a traceback in the log shows source lines, read from disk
    async with open_store() as store, StreamConsumer(store.url, name="test") as consumer:
        bad, good = Reader(), Reader()
        bad.deliver = lambda _: 1 / 0  # type: ignore[assignment]
        first, second = streams(2)
        bad.subscribe(consumer, first)
        good.subscribe(consumer, second)
        await add(store, first, 1)
        await add(store, second, 1, 2)
        await eventually(lambda: good.seqs == [1, 2])
        await eventually(lambda: bad.failures)

        assert isinstance(bad.failures[0], ZeroDivisionError)


async def test_broken_connections(open_store, eventually) -> None:
    """The connections of reads and of notifications are cut meanwhile: every entry arrives once, in order."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.2) as consumer:
        readers = {stream: Reader() for stream in streams(10)}
        for stream, reader in readers.items():
            reader.subscribe(consumer, stream)
        seq = 0
        for _ in range(5):
            for _ in range(20):
                seq += 1
                await asyncio.gather(*(add(store, stream, seq) for stream in readers))
            await store.cut("test-")

        await eventually(lambda: all(f.seqs == list(range(1, 101)) for f in readers.values()))


async def test_a_stream_that_does_not_exist_yet(open_store, eventually) -> None:
    """It is read from its beginning once it does."""
    async with open_store() as store, StreamConsumer(store.url, name="test") as consumer:
        counts: dict[str, int] = defaultdict(int)
        stream = streams(1)[0]
        consumer.subscribe(
            stream, 0, "0-0", lambda entries: counts.update({stream: counts[stream] + len(entries)}), print
        )
        await add(store, stream, 1)

        await eventually(lambda: counts[stream] == 1)


async def test_a_stream_that_cannot_be_read(open_store, eventually) -> None:
    """A key of another type delays neither its partition nor the others."""
    async with open_store() as store, StreamConsumer(store.url, name="test", sweep_s=0.05) as consumer:
        names = [name for name in streams(16) if "{p00}" in name or "{p01}" in name]
        await store.client.execute("SET", names[0], "no stream")
        readers = {stream: Reader() for stream in names}
        for stream, reader in readers.items():
            reader.subscribe(consumer, stream)
        for seq in range(1, 4):
            for stream in names[1:]:
                await add(store, stream, seq)
            await eventually(lambda n=seq: all(readers[s].seqs[-1:] == [n] for s in names[1:]))

        assert readers[names[0]].entries == []


async def test_a_reader_that_died_silently(open_store, eventually) -> None:
    """A reply that never comes, on a connection that stands: found by what is not read, and mended."""
    stalls = STALLS.labels("test")._value.get()
    async with open_store() as store:
        port = int(store.url.split(":")[2].split("/")[0])
        async with (
            Proxy("127.0.0.1", port) as proxy,
            StreamConsumer(proxy.url, name="test", timeout_s=60, sweep_s=0.05, stall_s=0.4) as consumer,
        ):
            stream = streams(1)[0]
            reader = Reader()
            reader.subscribe(consumer, stream)
            await add(store, stream, 1)
            await eventually(lambda: reader.seqs == [1])
            assert consumer.connected
            swallowed = proxy.swallowed
            await proxy.set_mode("black hole")
            await eventually(lambda: proxy.swallowed > swallowed)
            await proxy.set_mode("pass")
            await add(store, stream, 2)
            await eventually(lambda: consumer.stalled_s > 0.4)
            assert not consumer.connected

            await eventually(lambda: reader.seqs == [1, 2])
            await eventually(lambda: consumer.connected)
            assert consumer.stalled_s == 0
    assert STALLS.labels("test")._value.get() > stalls


async def test_paused_readers_are_no_stall(open_store, eventually) -> None:
    """Nothing to read is not nothing read."""
    async with (
        open_store() as store,
        StreamConsumer(store.url, name="test", sweep_s=0.02, stall_s=0.1) as consumer,
    ):
        stream = streams(1)[0]
        reader = Reader()
        subscription = reader.subscribe(consumer, stream)
        subscription.pause()
        [partition] = consumer._readers.values()
        begun = partition.progressed_at
        await eventually(lambda: partition.progressed_at > begun + 0.3)

        assert consumer.stalled_s == 0
        assert partition.reopened_at <= begun
