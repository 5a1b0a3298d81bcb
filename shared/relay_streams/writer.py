"""The writer: appends one owner's frames to its conversation's down stream.

A writer has one script call under way at a time, so what comes meanwhile gathers into the next. When
the store turns out to have lost what it had acknowledged, the writer restores it from memory: the same
ids, the same bytes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from prometheus_client import Counter, Histogram

from relay_redis.client import RedisClient, Reply
from relay_redis.errors import StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_streams.errors import Fenced, Missing, TailLost
from relay_streams.leases import Lease, UplinkProgress, submit_restore
from relay_streams.pending_batch import PendingBatch
from relay_streams.retransmit import RetransmitBuffer
from relay_streams.scripts import publish as publish_script
from relay_streams.scripts import restore as restore_script
from relay_telemetry.counter import counter
from relay_telemetry.fast_counter import FastCounter, FastCounters
from relay_turns.effects import Publish
from relay_turns.phase import Phase
from relay_wire.frame import Flags, Frame, Kind, encode
from relay_wire.position import START, Position

_KINDS = [kind.name.lower() for kind in Kind]
FRAMES = FastCounters("relay_publish_frames_total", "Frames appended and acknowledged.", "kind", _KINDS)
FRAME_BYTES = FastCounters(
    "relay_publish_bytes_total", "Bytes of frames appended and acknowledged.", "kind", _KINDS
)
REPUBLISHED = Counter(
    "relay_publish_republished_total", "Frames written again because the store had lost them."
)
RESTORED = counter(
    "relay_publish_restored_total",
    "Records brought level after the store lost data.",
    reason=("missing", "behind", "fenced", "gone"),
)
UNRESTORED = Counter(
    "relay_publish_unrestored_total", "Lost frames that were no longer in memory to be written again."
)
RETRIES = Counter("relay_publish_retries_total", "Appends repeated because Redis could not take them.")
LOST = counter(
    "relay_publish_lost_total",
    "Writers that lost their conversation.",
    reason=("fenced", "missing", "refused", "unencodable", "storeerror"),
)
BACKLOG = FastCounter("relay_publish_backlog_bytes", "Bytes appended but not acknowledged yet.")
SECONDS = Histogram(
    "relay_publish_seconds",
    "From append to acknowledgement, of the first frame of each call.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_FRAMES = {kind: FRAMES[kind.name.lower()] for kind in Kind}
_FRAME_BYTES = {kind: FRAME_BYTES[kind.name.lower()] for kind in Kind}

MAX_CALL_BYTES = 2 * 1024 * 1024
"""Frames of one conversation that go into one script call: it bounds how long Redis is busy with it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Bounds of one writer."""

    retention_bytes: int
    """Frames the stream keeps, when its current and previous turn hold more."""
    republish_bytes: int
    """Acknowledged frames kept in memory for a store that loses them."""


class Writer:
    """The down stream of one conversation during one owner's term. Made by ``Publisher.open``.

    Guarantee: frames appear in the order of ``append``, each once, without a hole, together with the
    checkpoint and the up cursor of their append; or the writer is lost and nothing more appears. Frames
    that the store acknowledged and lost appear again under their ids, as far back as memory reaches;
    what lies further back is a hole that readers see.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        client: RedisClient,
        wake: Callable[["Writer"], None],
        limits: WriterLimits,
        heard: Callable[[], UplinkProgress],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        self.lease = lease
        self.backlog_bytes = 0
        """Bytes appended but not acknowledged: what the owner looks at before it takes more."""
        self._client = client
        self._wake = wake
        self._limits = limits
        self._codec = lease.conversation.codec
        self._heard = heard
        self._on_lost = on_lost
        self._seq = 0
        self._turn = lease.conversation.turn
        self._turn_first = lease.conversation.turn_first
        self._turn_before = lease.conversation.turn_before
        self._latest: PendingBatch | None = None
        self._memory = RetransmitBuffer(limits.republish_bytes)
        self._restoring = False
        self._retained: deque[tuple[int, int]] = deque()
        self._retained_bytes = 0
        self._trimmed_to = START
        self._pending: deque[PendingBatch] = deque()
        self._calling: list[PendingBatch] = []
        self._failures = 0
        self._closed = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def tail(self) -> Position:
        """The position of the last frame appended, acknowledged or not."""
        return Position(self.lease.generation, self._seq)

    def append(
        self,
        publishes: Sequence[Publish],
        *,
        checkpoint: bytes,
        turn_phase: Phase = "idle",
        turn_ends_at_ms: int = 0,
        up: str = "",
        traceparent: str = "",
    ) -> None:
        """Append frames. Returns at once; the write happens at the end of the tick.

        Args:
            publishes: The frames, in order; may be empty when only the state moved.
            checkpoint: The turn machine's state after them, for the next owner.
            turn_phase: The phase of the current turn after them, for readers.
            turn_ends_at_ms: The wall time at which the turn has played, if its phase is ``playing``; else 0.
            up: The up entry consumed last.
            traceparent: Recorded with the frames when the turn is sampled; at most 255 bytes.

        Raises:
            FrameError: A payload is too large for a frame. Nothing was appended.
        """
        if self._closed:
            return
        published_at = time.time_ns() // 1000
        frames = [
            encode(
                Frame(
                    publish.kind,
                    Flags.END if publish.end else Flags.NONE,
                    self._codec,
                    publish.turn,
                    self.lease.generation,
                    self._seq + index,
                    publish.media_ms,
                    published_at,
                    publish.payload,
                )
            )
            for index, publish in enumerate(publishes, start=1)
        ]
        first_seq = self._seq + 1
        for publish, frame in zip(publishes, frames, strict=True):
            self._count(publish.turn, len(frame))
        size_bytes = sum(map(len, frames))
        self.backlog_bytes += size_bytes
        BACKLOG.value += size_bytes
        self._latest = PendingBatch(
            frames=frames,
            kinds=[publish.kind for publish in publishes],
            first_seq=first_seq,
            turn=self._turn,
            turn_first=self._turn_first,
            turn_before=self._turn_before,
            trim_to=self._trim_to(),
            checkpoint=checkpoint,
            turn_phase=turn_phase,
            turn_ends_at_ms=turn_ends_at_ms,
            up=up,
            traceparent=traceparent,
            size_bytes=size_bytes,
        )
        self._pending.append(self._latest)
        if not self._calling:
            self._wake(self)

    async def drained(self) -> None:
        """Wait until everything appended is acknowledged, or the writer is lost. Safe to cancel."""
        while (self._pending or self._calling or self._restoring) and not self._closed:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def close(self) -> None:
        """Forget what is not acknowledged and write no more."""
        self._closed = True
        self._calling = []
        self._pending.clear()
        self._memory.clear()
        BACKLOG.value -= self.backlog_bytes
        self.backlog_bytes = 0
        self._signal_drained()

    def forget(self, before: float) -> None:
        """Keep nothing in memory that was appended before this moment of the monotonic clock."""
        self._memory.forget(before)

    # --- retention -----------------------------------------------------------------------------

    def _count(self, turn: int, size_bytes: int) -> None:
        self._seq += 1
        if turn > self._turn:
            self._turn = turn
            self._turn_before, self._turn_first = self._turn_first, self.tail
        self._retained.append((self._seq, size_bytes))
        self._retained_bytes += size_bytes

    def _trim_to(self) -> Position | None:
        """The oldest frame to keep, if that changed: the turn before's first, or what the byte cap leaves."""
        retained, generation, oldest = self._retained, self.lease.generation, self._turn_before
        first = oldest.seq if oldest.generation == generation else 0
        while len(retained) > 1 and (
            self._retained_bytes > self._limits.retention_bytes or retained[0][0] < first
        ):
            self._retained_bytes -= retained.popleft()[1]
        if retained and retained[0][0] > max(first, 1):
            oldest = Position(generation, retained[0][0])
        if oldest <= self._trimmed_to:
            return None
        self._trimmed_to = oldest
        return oldest

    # --- calls ---------------------------------------------------------------------------------

    def call(self) -> None:
        """Send what is pending as one script call, unless one is under way."""
        if self._closed or self._calling or self._restoring or not self._pending:
            return
        size_bytes = 0
        while self._pending and (not self._calling or size_bytes < MAX_CALL_BYTES):
            self._calling.append(self._pending.popleft())
            size_bytes += self._calling[-1].size_bytes
        self._send()

    def _send(self) -> None:
        first, last = self._calling[0], self._calling[-1]
        up, trim_to = "", None
        frames: list[str | bytes | int] = []
        for append in self._calling:
            up, trim_to = append.up or up, append.trim_to or trim_to
            for frame in append.frames:
                frames += (frame, append.traceparent)
        call = publish_script.publish(
            self.lease.keys,
            generation=self.lease.generation,
            first_seq=first.first_seq,
            turn=last.turn,
            turn_first=last.turn_first,
            turn_before=last.turn_before,
            trim_to=trim_to,
            up=up,
            checkpoint=last.checkpoint,
            turn_phase=last.turn_phase,
            turn_ends_at_ms=last.turn_ends_at_ms,
            frames=frames,
        )
        try:
            reply = self._client.submit_script(call.script, call.keys, *call.arguments)
        except StoreError as error:
            self._retry(error, partial(self._repeat, self._calling))
            return
        reply.add_done_callback(partial(self._settle, self._calling))

    def _settle(self, calling: list[PendingBatch], reply: asyncio.Future[Reply]) -> None:
        # A restore overtakes the call under way: its frames are written again, its answer is old.
        if self._closed or reply.cancelled() or calling is not self._calling:
            return
        outcome = _outcome(reply, publish_script.read)
        if isinstance(outcome, int):
            self._acknowledge()
        elif self._is_loss(outcome):
            self.restore(type(outcome).__name__.lower())
        elif outcome.retryable:
            self._retry(outcome, partial(self._repeat, calling))
        else:
            self._lose(outcome)

    def _is_loss(self, error: StoreError) -> bool:
        """Whether the store has lost what it had acknowledged, be it our claim."""
        fenced_by_the_past = isinstance(error, Fenced) and error.generation < self.lease.generation
        return fenced_by_the_past or isinstance(error, TailLost | Missing)

    def _acknowledge(self) -> None:
        SECONDS.observe(time.monotonic() - self._calling[0].at)
        for append in self._calling:
            self.backlog_bytes -= append.size_bytes
            BACKLOG.value -= append.size_bytes
            for kind, frame in zip(append.kinds, append.frames, strict=True):
                _FRAMES[kind].value += 1
                _FRAME_BYTES[kind].value += len(frame)
        self._memory.add(self._calling)
        self._calling = []
        self._failures = 0
        if self._pending:
            self._wake(self)
        else:
            self._signal_drained()

    def _retry(self, error: StoreError, again: Callable[[], None]) -> None:
        # The same frames under the same ids: Redis skips those it has (scripts/publish.lua).
        RETRIES.inc()
        if self._failures == 0:
            log.warning(
                "the store took nothing, repeating", conversation=self.lease.keys.id, error=str(error)
            )
        wait_s = RECONNECT_WAIT.compute(self._failures)
        self._failures += 1
        asyncio.get_running_loop().call_later(wait_s, again)

    def _repeat(self, calling: list[PendingBatch]) -> None:
        if calling is self._calling and not self._closed:
            self._send()

    # --- restoring -----------------------------------------------------------------------------

    def restore(self, reason: str) -> None:
        """Bring the store level: it has lost the record, our claim or the tail. Safe to call again."""
        if not self._closed and not self._restoring:
            self._restoring = True
            RESTORED.labels(reason).inc()
            log.warning("the store has lost data, restoring", conversation=self.lease.keys.id, reason=reason)
            self._send_restore()

    def _send_restore(self) -> None:
        if self._closed:
            return
        try:
            reply = submit_restore(self._client, self.lease, floor=self._floor, progress=self._heard())
        except StoreError as error:
            self._retry(error, self._send_restore)
            return
        reply.add_done_callback(self._settle_restore)

    def _settle_restore(self, reply: asyncio.Future[Reply]) -> None:
        if self._closed or reply.cancelled():
            return
        outcome = _outcome(reply, restore_script.read)
        if isinstance(outcome, int):
            self._restoring = False
            self._failures = 0
            self._rewind(outcome)
        elif outcome.retryable:
            self._retry(outcome, self._send_restore)
        else:
            self._lose(outcome)

    @property
    def _floor(self) -> int:
        """The frame before the oldest that can be written again."""
        oldest = self._memory.first_seq
        if oldest is None:
            oldest = next((append.first_seq for append in (*self._calling, *self._pending)), self._seq + 1)
        return oldest - 1

    def _rewind(self, have: int) -> None:
        """Write everything after this frame again."""
        lost = self._memory.take_after(have)
        for append in lost:
            REPUBLISHED.inc(len(append.frames))
            self.backlog_bytes += append.size_bytes
            BACKLOG.value += append.size_bytes
        if not (self._calling or self._pending) and self._latest is not None:
            # The state was the store's to keep, too.
            self._pending.append(self._latest.without_frames())
        self._pending.extendleft(reversed([*lost, *self._calling]))
        self._calling = []
        if self._pending:
            self._wake(self)
        else:
            self._signal_drained()

    def _lose(self, error: StoreError) -> None:
        LOST.labels(type(error).__name__.lower()).inc()
        self.close()
        self._on_lost(error)

    def _signal_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


def _outcome(reply: asyncio.Future[Reply], read: Callable[[Reply], int]) -> int | StoreError:
    """The seq in a script's reply, or why there is none."""
    error = reply.exception()
    if error is not None:
        return error if isinstance(error, StoreError) else StoreError(repr(error))
    try:
        return read(reply.result())
    except StoreError as refusal:
        return refusal
