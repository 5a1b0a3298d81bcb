"""The puller: reads every followed stream from its own cursor when it moved.

One path for all reading: a hint, a resumed follower and the slow sweep all just mark a stream as
dirty. Dirty streams are read in bounded batches, a partition's streams in one command, and what was
read goes to its follower in order. Reading is pulling: a paused follower costs nothing, and nothing
is buffered for it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

import structlog
from prometheus_client import Counter

from relay_runtime.tasks import TaskScope
from relay_streams.errors import Refused, StoreError
from relay_streams.hints import Hints
from relay_streams.link import RECONNECT_WAIT, Link, Reply

ENTRIES = Counter("relay_pull_entries_total", "Stream entries read.")
READS = Counter("relay_pull_reads_total", "Read commands sent.")
FAILURES = Counter("relay_pull_failures_total", "Reads that failed, and followers that did.", ["reason"])

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """One stream entry, undecoded."""

    id: bytes
    fields: Sequence[bytes]
    """Names and values in turn."""


class Following:
    """One stream being read. Made by ``Puller.follow``."""

    __slots__ = ("_puller", "closed", "cursor", "deliver", "on_failure", "partition", "paused", "stream")

    def __init__(
        self,
        puller: "Puller",
        stream: str,
        *,
        partition: int,
        cursor: str,
        deliver: Callable[[list[Entry]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._puller = puller
        self.stream = stream.encode()
        self.partition = partition
        self.cursor = cursor.encode()
        self.deliver = deliver
        self.on_failure = on_failure
        self.paused = False
        self.closed = False

    def pause(self) -> None:
        """Read nothing until ``resume``; a read under way may still deliver."""
        self.paused = True

    def resume(self) -> None:
        """Read on from the cursor."""
        if self.paused:
            self.paused = False
            self._puller.mark(self.stream)

    def seek(self, cursor: str) -> None:
        """Go on after this entry id instead. What a read under way brings is thrown away."""
        self.cursor = cursor.encode()
        self._puller.mark(self.stream)

    def close(self) -> None:
        """Follow no more. Nothing is delivered after this returns."""
        if not self.closed:
            self.closed = True
            self._puller.forget(self)


class Puller:
    """Reads streams for their followers. Enter it to start it; leaving stops it.

    Guarantee: a follower gets every entry after its cursor that the stream still has, once, in order.
    Entries trimmed before they were read are missing without notice; the follower sees that from the
    positions.

    Args:
        url: Where Redis is.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for one reply.
        batch_entries: Most entries of one stream in one read.
        batch_streams: Most streams in one round of reads: with ``batch_entries`` and the largest
            frame it bounds what one round can hold.
        sweep_s: How often every stream is read although no hint came.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        timeout_s: float = 5.0,
        batch_entries: int = 32,
        batch_streams: int = 128,
        sweep_s: float = 1.0,
    ) -> None:
        self._link = Link(url, name=f"{name}-pull", timeout_s=timeout_s)
        self._hints = Hints(url, self.mark, name=f"{name}-hints", timeout_s=timeout_s)
        self._batch_entries = batch_entries
        self._batch_streams = batch_streams
        self._sweep_s = sweep_s
        self._followings: dict[bytes, Following] = {}
        # A dict keeps the order of arrival: no stream is overtaken by one that moves more often.
        self._dirty: dict[bytes, None] = {}
        self._work = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._link)
        await self._stack.enter_async_context(self._hints)
        scope = await self._stack.enter_async_context(TaskScope())
        scope.spawn(self._pull(), name="puller")
        scope.spawn(self._sweep(), name="puller-sweep")
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
        """Whether reads go out now."""
        return self._link.connected

    def follow(
        self,
        stream: str,
        partition: int,
        cursor: str,
        deliver: Callable[[list[Entry]], None],
        on_failure: Callable[[Exception], None],
    ) -> Following:
        """Read a stream from after ``cursor`` on, until closed. A stream has one follower per puller.

        Args:
            stream: Its key.
            partition: Its partition.
            cursor: Entry id to start after; ``0-0`` for the beginning.
            deliver: Called with one or more entries in order. Must not block.
            on_failure: Called when ``deliver`` raised: the stream is no longer followed then.
        """
        following = Following(
            self, stream, partition=partition, cursor=cursor, deliver=deliver, on_failure=on_failure
        )
        if following.stream in self._followings:
            raise ValueError(f"{stream} is followed already")
        self._followings[following.stream] = following
        self._hints.subscribe(stream)
        self.mark(following.stream)
        return following

    def mark(self, stream: bytes) -> None:
        """Note that a stream may have moved."""
        self._dirty[stream] = None
        self._work.set()

    def forget(self, following: Following) -> None:
        """Drop a closed following."""
        del self._followings[following.stream]
        self._hints.unsubscribe(following.stream.decode())

    # --- reading -------------------------------------------------------------------------------

    async def _pull(self) -> None:
        failures = 0
        while True:
            await self._work.wait()
            self._work.clear()
            batch = self._next_batch()
            if self._dirty:
                self._work.set()
            try:
                await self._read(batch)
                failures = 0
            except StoreError as error:
                FAILURES.labels("store").inc()
                if isinstance(error, Refused):
                    log.error("reading streams was refused", error=str(error))
                for following in batch:
                    self.mark(following.stream)
                await asyncio.sleep(RECONNECT_WAIT.compute(failures))
                failures += 1

    def _next_batch(self) -> list[Following]:
        batch: list[Following] = []
        while self._dirty and len(batch) < self._batch_streams:
            stream = next(iter(self._dirty))
            del self._dirty[stream]
            following = self._followings.get(stream)
            if following is not None and not following.paused:
                batch.append(following)
        return batch

    async def _read(self, batch: list[Following]) -> None:
        by_partition = defaultdict(list)
        for following in batch:
            by_partition[following.partition].append(following)
        cursors = {following.stream: following.cursor for following in batch}
        reads = [self._submit(followings) for followings in by_partition.values()]
        failure: BaseException | None = None
        for reply in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(reply, BaseException):
                failure = reply
            else:
                self._hand_out(reply, cursors)
        if failure is not None:
            raise failure

    def _submit(self, followings: list[Following]) -> asyncio.Future[Reply]:
        READS.inc()
        streams = [following.stream for following in followings]
        cursors = [following.cursor for following in followings]
        return self._link.submit(("XREAD", "COUNT", self._batch_entries, "STREAMS", *streams, *cursors))

    def _hand_out(self, reply: Reply, cursors: dict[bytes, bytes]) -> None:
        for stream, entries in reply or ():
            following = self._followings.get(stream)
            if following is None or following.cursor != cursors[stream]:
                continue  # closed, or sought elsewhere, while the read was under way
            ENTRIES.inc(len(entries))
            following.cursor = entries[-1][0]
            if len(entries) == self._batch_entries:
                self.mark(stream)
            try:
                following.deliver([Entry(*entry) for entry in entries])
            except Exception as error:  # one follower's defect must not stop the others
                FAILURES.labels("follower").inc()
                log.exception("a follower failed", stream=stream.decode())
                following.close()
                following.on_failure(error)

    async def _sweep(self) -> None:
        """Mark a tenth of the streams dirty ten times per sweep, so that a sweep is no burst."""
        slices = 10
        while True:
            for index in range(slices):
                await asyncio.sleep(self._sweep_s / slices)
                for stream in list(self._followings)[index::slices]:
                    self.mark(stream)
