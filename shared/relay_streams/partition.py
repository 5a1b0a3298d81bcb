"""Partition readers: each reads the streams of one partition, at its own pace.

A reader has at most one read in flight. So a partition whose server does not reply, or whose reads fail,
delays no other. Whether a reader makes progress shows in the time of its last read, not in its connection.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from relay_redis.client import Command, RedisClient, Reply
from relay_redis.errors import StoreError, Unavailable
from relay_redis.reconnect import RECONNECT_WAIT
from relay_streams.notification import Entry, inline_entries
from relay_telemetry.counter import counter
from relay_telemetry.fast_counter import FastCounter

ENTRIES = FastCounter("relay_stream_entries_total", "Stream entries read.")
READS = FastCounter("relay_stream_reads_total", "Read commands sent.")
INLINE = FastCounter(
    "relay_stream_inline_total", "Stream entries that a notification carried: they need no read."
)
FAILURES = counter(
    "relay_stream_failures_total", "Failed reads, and callbacks that raised.", reason=("store", "callback")
)

IDLE_SWEEPS = 8
"""A long-idle stream is read in every sweep of this number."""

log = structlog.get_logger(__name__)


class StreamSubscription:
    """One stream being read. Made by ``StreamConsumer.subscribe``."""

    __slots__ = (
        "_deliver",
        "_idle_sweeps",
        "_on_close",
        "_on_failure",
        "_on_mark",
        "closed",
        "cursor",
        "paused",
        "stream",
    )  # fmt: skip

    def __init__(
        self,
        stream: str,
        *,
        cursor: bytes,
        deliver: Callable[[Sequence[Entry]], None],
        on_failure: Callable[[Exception], None],
        on_mark: Callable[["StreamSubscription"], None],
        on_close: Callable[["StreamSubscription"], None],
    ) -> None:
        self.stream = stream.encode()
        self.cursor = cursor
        self.paused = False
        self.closed = False
        self._deliver = deliver
        self._on_failure = on_failure
        self._on_mark = on_mark
        self._on_close = on_close
        self._idle_sweeps = 0
        """Sweeps since the last delivery."""

    def mark(self) -> None:
        """Note that the stream may have new entries."""
        self._on_mark(self)

    def notify(self, notification: bytes) -> None:
        """Deliver the inline entries of a notification if they follow the cursor; else mark the stream."""
        entries = () if self.paused else inline_entries(notification, self.cursor)
        if entries:
            INLINE.value += len(entries)
            self.deliver(entries)
        else:
            self._on_mark(self)

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Deliver the entries after the cursor. If the callback raises, close and call ``on_failure``."""
        self.cursor = entries[-1][0]
        self._idle_sweeps = 0
        try:
            self._deliver(entries)
        except Exception as error:  # one callback's defect must not stop the others
            FAILURES.labels("callback").inc()
            log.exception("stream callback failed", stream=self.stream.decode())
            self.close()
            self._on_failure(error)

    @property
    def is_due(self) -> bool:
        """Whether this sweep reads the stream, for entries whose notification was lost.

        Not while entries arrive: the next notification does not follow the cursor then, and the stream is
        read. Once when they stop, then seldom, since most conversations are idle.
        """
        idle = self._idle_sweeps
        return idle == 1 or (idle > 0 and idle % IDLE_SWEEPS == 0)

    def count_sweep(self) -> None:
        """Count a sweep without a delivery."""
        self._idle_sweeps += 1

    def pause(self) -> None:
        """Read nothing until ``resume``; a read in flight may still deliver."""
        self.paused = True

    def resume(self) -> None:
        """Continue from the cursor."""
        if self.paused:
            self.paused = False
            self._on_mark(self)

    def seek(self, cursor: str) -> None:
        """Continue after this entry id. The result of a read in flight is discarded."""
        self.cursor = cursor.encode()
        self._on_mark(self)

    def close(self) -> None:
        """Stop reading. Nothing is delivered after this returns."""
        if not self.closed:
            self.closed = True
            self._on_close(self)


class PartitionReader:
    """Reads the streams of one partition: those marked, in the order of their marks, many in one command.

    Args:
        partition: Its number.
        client: Runs the reads.
        batch_entries: Most entries of one stream in one read.
        batch_streams: Most streams in one read.
        wake: Called when ``advance`` has something to do.
    """

    def __init__(
        self,
        partition: int,
        client: RedisClient,
        *,
        batch_entries: int,
        batch_streams: int,
        wake: Callable[["PartitionReader"], None],
    ) -> None:
        self._client = client
        self._batch_entries = batch_entries
        self._batch_streams = batch_streams
        self._wake = wake
        # A dict keeps the order of arrival: no stream is overtaken by one that moves more often.
        self._dirty: dict[StreamSubscription, None] = {}
        self._read: asyncio.Future[Reply] | None = None
        self._reading: dict[bytes, tuple[StreamSubscription, bytes]] = {}
        """The read in flight: subscription and cursor, by stream."""
        self._width = batch_streams
        """Most streams in the next read. Failures halve it, successes double it: streams that cannot be read
        together, because their slot moves, or that cannot be read at all, soon do not block the others."""
        self._resting = False
        self._failures = 0
        self.partition = partition
        self._subscriptions: set[StreamSubscription] = set()
        self.progressed_at = asyncio.get_running_loop().time()
        """When it last read, or had nothing to read; on the loop's clock."""
        self.reopened_at = self.progressed_at
        """When it last opened another connection, since it made no progress."""

    @property
    def is_empty(self) -> bool:
        """Whether it has no subscription."""
        return not self._subscriptions

    def add(
        self,
        stream: str,
        *,
        cursor: bytes,
        deliver: Callable[[Sequence[Entry]], None],
        on_failure: Callable[[Exception], None],
        on_close: Callable[[StreamSubscription], None],
    ) -> StreamSubscription:
        """Read a stream from after ``cursor`` on, once it is marked."""
        subscription = StreamSubscription(
            stream,
            cursor=cursor,
            deliver=deliver,
            on_failure=on_failure,
            on_mark=self.mark,
            on_close=on_close,
        )
        self._subscriptions.add(subscription)
        return subscription

    def remove(self, subscription: StreamSubscription) -> None:
        """Read a stream no more."""
        self._subscriptions.discard(subscription)

    def mark(self, subscription: StreamSubscription) -> None:
        """Note that a stream may have new entries."""
        self._dirty[subscription] = None
        self._wake(self)

    def sweep(self) -> None:
        """Mark the streams that are due, and at least one: its read shows that the partition can be read."""
        due = [subscription for subscription in self._subscriptions if subscription.is_due]
        for subscription in self._subscriptions:
            subscription.count_sweep()
        for subscription in due or [next(iter(self._subscriptions))]:
            self.mark(subscription)

    def advance(self, share: int) -> None:
        """Handle the read that is done, and send the next.

        Args:
            share: Most streams it may read at once now, so that all readers together stay in bounds.
        """
        if self._read is not None:
            if not self._read.done():
                return
            self._finish(self._read)
        if not self._resting:
            self._begin(share)

    def reopen(self) -> bool:
        """Open another connection and read again. Returns False when there is none to replace."""
        if not self._client.reconnect(next(iter(self._subscriptions)).stream):
            return False
        self.reopened_at = asyncio.get_running_loop().time()
        if self._read is not None:
            self._read.cancel()
        return True

    def _begin(self, share: int) -> None:
        batch = self._next_batch(min(share, self._width))
        if not batch:
            self._progress()
            return
        READS.value += 1
        self._reading = {subscription.stream: (subscription, subscription.cursor) for subscription in batch}
        cursors = [subscription.cursor for subscription in batch]
        command: Command = ("XREAD", "COUNT", self._batch_entries, "STREAMS", *self._reading, *cursors)
        try:
            self._read = self._client.submit(command, key=batch[0].stream)
        except Unavailable:
            self._fail()
        else:
            self._read.add_done_callback(self._done)

    def _next_batch(self, limit: int) -> list[StreamSubscription]:
        batch: list[StreamSubscription] = []
        while self._dirty and len(batch) < limit:
            subscription = next(iter(self._dirty))
            del self._dirty[subscription]
            if not (subscription.paused or subscription.closed):
                batch.append(subscription)
        return batch

    def _done(self, _: asyncio.Future[Reply]) -> None:
        self._wake(self)

    def _finish(self, read: asyncio.Future[Reply]) -> None:
        self._read = None
        try:
            reply = read.result()
        except (StoreError, asyncio.CancelledError):
            self._fail()
            return
        self._failures = 0
        self._width = min(self._batch_streams, self._width * 2)
        self._progress()
        for stream, entries in reply or ():
            subscription, cursor = self._reading.get(stream, (None, b""))
            if subscription is None or subscription.closed:
                continue
            if subscription.cursor != cursor:
                # A seek, or inline entries, moved the cursor while the read was in flight.
                self.mark(subscription)
                continue
            ENTRIES.value += len(entries)
            if len(entries) == self._batch_entries:
                self.mark(subscription)
            subscription.deliver([(entry_id, fields) for entry_id, fields in entries])

    def _fail(self) -> None:
        FAILURES.labels("store").inc()
        for subscription, _ in self._reading.values():
            self._dirty[subscription] = None
        self._width = max(1, len(self._reading) // 2)
        self._resting = True
        wait_s = RECONNECT_WAIT.compute(self._failures)
        self._failures += 1
        asyncio.get_running_loop().call_later(wait_s, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._wake(self)

    def _progress(self) -> None:
        self.progressed_at = asyncio.get_running_loop().time()
