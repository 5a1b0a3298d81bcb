"""Lanes: the reading of one partition's streams, at its own pace.

A lane has at most one read under way. So a partition whose server does not answer, or whose reads fail,
waits alone; the others go on. A lane that gets nothing done can be told by the time of its last read.
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

ENTRIES = FastCounter("relay_pull_entries_total", "Stream entries read.")
READS = FastCounter("relay_pull_reads_total", "Read commands sent.")
INLINE = FastCounter("relay_pull_told_total", "Stream entries that came with a hint, and were not read.")
FAILURES = counter(
    "relay_pull_failures_total", "Reads that failed, and followers that did.", reason=("store", "follower")
)

IDLE_SWEEPS = 8
"""A stream that has been silent for long is swept in one sweep of so many."""

log = structlog.get_logger(__name__)


class StreamSubscription:
    """One stream being read. Made by ``Puller.follow``."""

    __slots__ = (
        "_on_close",
        "_quiet",
        "closed",
        "cursor",
        "deliver",
        "on_failure",
        "paused",
        "reader",
        "stream",
    )  # fmt: skip

    def __init__(
        self,
        reader: "PartitionReader",
        stream: str,
        *,
        cursor: bytes,
        deliver: Callable[[Sequence[Entry]], None],
        on_failure: Callable[[Exception], None],
        on_close: Callable[["StreamSubscription"], None],
    ) -> None:
        self.reader = reader
        self.stream = stream.encode()
        self.cursor = cursor
        self.deliver = deliver
        self.on_failure = on_failure
        self._on_close = on_close
        self._quiet = 0
        """Sweeps since something was delivered."""
        self.paused = False
        self.closed = False

    def take(self, told: bytes) -> bool:
        """Deliver what a hint tells, if that is what comes next.

        Returns:
            Whether it was: else the stream is to be read.
        """
        entries = () if self.paused else inline_entries(told, self.cursor)
        if not entries:
            return False
        INLINE.value += len(entries)
        self.hand_out(entries)
        return True

    def hand_out(self, entries: Sequence[Entry]) -> None:
        """Deliver what comes next. A follower that fails is closed and told."""
        self.cursor = entries[-1][0]
        self._quiet = 0
        try:
            self.deliver(entries)
        except Exception as error:  # one follower's defect must not stop the others
            FAILURES.labels("follower").inc()
            log.exception("a follower failed", stream=self.stream.decode())
            self.close()
            self.on_failure(error)

    def due(self) -> bool:
        """Whether to look, in this sweep, for entries that came without a hint.

        Not while it moves: the next hint shows what an earlier one should have told. Once when it falls
        silent, then seldom, since most conversations are silent.
        """
        quiet, self._quiet = self._quiet, self._quiet + 1
        return quiet == 1 or (quiet > 0 and quiet % IDLE_SWEEPS == 0)

    def pause(self) -> None:
        """Read nothing until ``resume``; a read under way may still deliver."""
        self.paused = True

    def resume(self) -> None:
        """Read on from the cursor."""
        if self.paused:
            self.paused = False
            self.reader.mark(self)

    def seek(self, cursor: str) -> None:
        """Go on after this entry id instead. What a read under way brings is thrown away."""
        self.cursor = cursor.encode()
        self.reader.mark(self)

    def close(self) -> None:
        """Follow no more. Nothing is delivered after this returns."""
        if not self.closed:
            self.closed = True
            self._on_close(self)


class PartitionReader:
    """One partition's followed streams, read in turns: dirty ones, in order of arrival, in one command.

    Args:
        partition: Which.
        client: Where to read.
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
        """What is being read, by stream: for whom, and from which cursor."""
        self._width = batch_streams
        """Most streams in the next read. Halved by each failure: so streams that cannot be read
        together, because their slot moves, or that cannot be read at all, do not stop the others."""
        self._resting = False
        self._failures = 0
        self.partition = partition
        self.followings: set[StreamSubscription] = set()
        """What is followed here."""
        self.progressed_at = asyncio.get_running_loop().time()
        """When it last read, or found that nothing was to be read; on the loop's clock."""
        self.reopened_at = self.progressed_at
        """When it last got another connection for want of progress."""

    def mark(self, following: StreamSubscription) -> None:
        """Note that a stream may have moved."""
        self._dirty[following] = None
        self._wake(self)

    def sweep(self) -> None:
        """Mark what is due; and one stream in any case: by reading a lane shows that it can."""
        due = [following for following in self.followings if following.due()]
        for following in due or [next(iter(self.followings))]:
            self.mark(following)

    def advance(self, share: int) -> None:
        """Take in the read that is done, and send the next.

        Args:
            share: Most streams it may read at once now, so that all lanes together stay in bounds.
        """
        if self._read is not None:
            if not self._read.done():
                return
            self._finish(self._read)
        if not self._resting:
            self._begin(share)

    def reopen(self) -> bool:
        """Get another connection and read again. Returns False when there is none to replace."""
        if not self._client.reconnect(next(iter(self.followings)).stream):
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
        self._reading = {following.stream: (following, following.cursor) for following in batch}
        cursors = [following.cursor for following in batch]
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
            following = next(iter(self._dirty))
            del self._dirty[following]
            if not (following.paused or following.closed):
                batch.append(following)
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
            following, cursor = self._reading.get(stream, (None, b""))
            if following is None or following.closed:
                continue
            if following.cursor != cursor:
                # It was sought elsewhere, or told what comes next, while the read was under way.
                self.mark(following)
                continue
            ENTRIES.value += len(entries)
            if len(entries) == self._batch_entries:
                self.mark(following)
            following.hand_out([(entry_id, fields) for entry_id, fields in entries])

    def _fail(self) -> None:
        FAILURES.labels("store").inc()
        for following, _ in self._reading.values():
            self._dirty[following] = None
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
