"""The stream consumer: reads each subscribed stream from its own cursor when it has new entries.

There is one path for all reading: a notification, a resumed subscription and the periodic sweep all mark a
stream. Marked streams are read in bounded batches, those of a partition in one command, and the entries go to
the stream's callback in order. A paused stream costs nothing, and nothing is buffered for it.

A notification may carry the new entries inline. A subscription whose cursor is just before them needs no
read; any other reads. So correctness does not depend on notifications: they only save reads.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import Gauge

from relay_redis.client import RedisClient
from relay_redis.pubsub import PubSub
from relay_runtime.tasks import TaskScope
from relay_streams.notification import Entry
from relay_streams.partition import PartitionReader, StreamSubscription
from relay_streams.scripts import SCHEMA
from relay_telemetry.counter import OPEN, counter, expect

__all__ = ["Entry", "StreamConsumer", "StreamSubscription"]

STALLS = counter(
    "relay_stream_stalls_total", "Partitions without a read although their connection is up.", consumer=OPEN
)
STALLED = Gauge(
    "relay_stream_stalled_seconds",
    "Since the most overdue partition was last read; 0 when none is overdue.",
    ["consumer"],
)

log = structlog.get_logger(__name__)


class StreamConsumer:
    """Reads streams for callbacks. Enter it to start it; leaving stops it.

    Guarantee: a callback receives every entry after its cursor that the stream still has, once, in order.
    Entries trimmed before they were read are missing without notice; the callback detects that by the
    positions. A partition that cannot be read delays no other.

    Args:
        url: Where Redis is.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for one reply.
        batch_entries: Most entries of one stream in one read.
        batch_streams: Most streams being read at a time, shared evenly by the partitions (one each at
            least): with ``batch_entries`` and the largest frame it bounds what reading can hold.
        sweep_s: How often a stream without notifications is read; a long-idle one in every
            ``IDLE_SWEEPS``-th sweep.
        stall_s: How long a partition may go without a read before it counts as stalled and its
            connection is opened again. None: the sweep and two timeouts, since a connection without
            replies is closed after one.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        timeout_s: float = 2.0,
        batch_entries: int = 32,
        batch_streams: int = 128,
        sweep_s: float = 1.0,
        stall_s: float | None = None,
    ) -> None:
        expect(STALLS, consumer=name)
        STALLED.labels(name)
        self.client = RedisClient(url, SCHEMA, name=f"{name}-read", timeout_s=timeout_s)
        self.pubsub = PubSub(url, self._on_notification, name=f"{name}-pubsub", timeout_s=timeout_s)
        self._name = name
        self._batch_entries = batch_entries
        self._batch_streams = batch_streams
        self._sweep_s = sweep_s
        self._stall_s = sweep_s + 2 * timeout_s if stall_s is None else stall_s
        self._subscriptions: dict[bytes, StreamSubscription] = {}
        self._readers: dict[int, PartitionReader] = {}
        self._ready: dict[PartitionReader, None] = {}
        """Readers that can advance."""
        self._work = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.client)
        await self._stack.enter_async_context(self.pubsub)
        scope = await self._stack.enter_async_context(TaskScope())
        scope.spawn(self._pull(), name="stream-consumer")
        scope.spawn(self._sweep(), name="stream-consumer-sweep")
        scope.spawn(self._watch(), name="stream-consumer-watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def connected(self) -> bool:
        """Whether reads are sent now, and replied to."""
        return self.client.connected and not self.stalled_s

    @property
    def stalled_s(self) -> float:
        """For how long the most overdue partition has read nothing; 0 when none is overdue."""
        now = asyncio.get_running_loop().time()
        silent_s = now - min((reader.progressed_at for reader in self._readers.values()), default=now)
        return silent_s if silent_s > self._stall_s else 0.0

    def subscribe(
        self,
        stream: str,
        partition: int,
        cursor: str,
        deliver: Callable[[Sequence[Entry]], None],
        on_failure: Callable[[Exception], None],
    ) -> StreamSubscription:
        """Read a stream from after ``cursor`` on, until closed. A stream has one subscription per consumer.

        Args:
            stream: Its key.
            partition: Its partition.
            cursor: Entry id to start after; ``0-0`` for the beginning.
            deliver: Called with one or more entries in order. Must not block.
            on_failure: Called when ``deliver`` raised: the subscription is closed then.

        Raises:
            ValueError: The stream is already subscribed, or it or the cursor is text that is no Unicode.
        """
        after = cursor.encode()
        if stream.encode() in self._subscriptions:
            raise ValueError(f"{stream} is already subscribed")
        reader = self._readers.get(partition) or self._open_reader(partition)
        subscription = reader.add(
            stream,
            cursor=after,
            deliver=deliver,
            on_failure=on_failure,
            on_close=partial(self._remove, reader),
        )
        self._subscriptions[subscription.stream] = subscription
        self.pubsub.subscribe(stream)
        subscription.mark()
        return subscription

    def mark(self, stream: bytes) -> None:
        """Note that a stream may have new entries."""
        self._on_notification(stream, b"")

    def _on_notification(self, stream: bytes, notification: bytes) -> None:
        subscription = self._subscriptions.get(stream)
        if subscription is not None:
            subscription.notify(notification)

    def _open_reader(self, partition: int) -> PartitionReader:
        reader = self._readers[partition] = PartitionReader(
            partition,
            self.client,
            batch_entries=self._batch_entries,
            batch_streams=self._batch_streams,
            wake=self._wake,
        )
        return reader

    def _remove(self, reader: PartitionReader, subscription: StreamSubscription) -> None:
        del self._subscriptions[subscription.stream]
        self.pubsub.unsubscribe(subscription.stream.decode())
        reader.remove(subscription)
        if reader.is_empty:
            del self._readers[reader.partition]

    def _wake(self, reader: PartitionReader) -> None:
        self._ready[reader] = None
        self._work.set()

    # --- reading -------------------------------------------------------------------------------

    async def _pull(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            ready, self._ready = self._ready, {}
            share = max(1, self._batch_streams // max(1, len(self._readers)))
            for reader in ready:
                reader.advance(share)

    async def _sweep(self) -> None:
        """Sweep an eighth of the readers at a time, so that a sweep is no burst."""
        parts = 8
        while True:
            for part in range(parts):
                await asyncio.sleep(self._sweep_s / parts)
                for reader in list(self._readers.values())[part::parts]:
                    reader.sweep()

    async def _watch(self) -> None:
        """Open another connection for a reader without progress whose connection is up."""
        while True:
            await asyncio.sleep(self._stall_s / 4)
            STALLED.labels(self._name).set(self.stalled_s)
            overdue_since = asyncio.get_running_loop().time() - self._stall_s
            for reader in self._readers.values():
                if max(reader.progressed_at, reader.reopened_at) < overdue_since and reader.reopen():
                    STALLS.labels(self._name).inc()
                    log.warning(
                        "reading stalled, reconnecting", consumer=self._name, partition=reader.partition
                    )
