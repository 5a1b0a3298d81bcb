"""The writer: appends one owner's frames to its conversation's down stream.

A writer has one script call in flight at a time, so what is appended meanwhile gathers for the next. When
Redis turns out to have lost what it had acknowledged, the writer appends it again: the same ids, the same
bytes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from relay_redis.client import RedisClient, Reply
from relay_redis.errors import StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_streams.errors import Fenced, Missing, TailLost
from relay_streams.leases import Lease, UplinkProgress, submit_restore
from relay_streams.publish_metrics import (
    FRAME_BYTES,
    FRAMES,
    LOST,
    PUBLISHED_AT,
    RESTORED,
    RETRANSMITTED,
    RETRIES,
    SECONDS,
    STREAM_BYTES,
)
from relay_streams.retention import Retention
from relay_streams.retransmit import PendingBatch, RetransmitBuffer
from relay_streams.scripts import publish as publish_script
from relay_streams.scripts import restore as restore_script
from relay_streams.scripts.publish import FrameEvent
from relay_turns.effects import Publish
from relay_turns.phase import Phase
from relay_wire.frame import Flags, Frame, Kind, encode
from relay_wire.position import Position

_FRAMES = {kind: FRAMES[kind.name.lower()] for kind in Kind}
_FRAME_BYTES = {kind: FRAME_BYTES[kind.name.lower()] for kind in Kind}

MAX_CALL_BYTES = 2 * 1024 * 1024
"""Bytes of one conversation's frames in one script call: it bounds for how long the call occupies Redis."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Bounds of one writer."""

    retention_bytes: int
    """Bytes of frames that the stream keeps, when its current and previous turn have more. In a recorded
    conversation, as many bytes of earlier frames stay until they are copied."""
    republish_bytes: int
    """Bytes of acknowledged frames that the writer keeps, to append them again."""
    outbox_entries: int = 0
    """Most entries of the outbox, of all conversations of the partition."""


class Writer:
    """The down stream of one conversation during one ownership. Made by ``Publisher.open``.

    Guarantee: frames appear in the order of ``append``, each once, without a hole, together with the
    checkpoint and the uplink cursor of their append; or the writer is closed and nothing more appears.
    Frames that Redis acknowledged and lost appear again under their ids, as far back as the retransmit
    buffer reaches; what lies further back is a hole that readers see.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        client: RedisClient,
        schedule: Callable[["Writer"], None],
        limits: WriterLimits,
        progress: Callable[[], UplinkProgress],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        record = lease.conversation
        self.lease = lease
        self._client = client
        self._schedule = schedule
        self._codec = record.codec
        self._progress = progress
        self._on_lost = on_lost
        self._seq = 0
        self._waiting_bytes = limits.retention_bytes if record.recorded else None
        self._retention = Retention(
            lease.generation,
            limits.retention_bytes,
            turn=record.turn,
            turn_first=record.turn_first,
            turn_before=record.turn_before,
        )
        self._batches = RetransmitBuffer(limits.republish_bytes)
        self._outbox_entries = limits.outbox_entries
        self._retained_bytes = 0
        """What ``STREAM_BYTES`` has of this stream."""
        self._attempt = 0
        """Number of the batches in flight: a reply to an earlier attempt is ignored."""
        self._restoring = False
        self._failures = 0
        self._closed = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def last_position(self) -> Position:
        """The position of the last frame appended, acknowledged or not."""
        return Position(self.lease.generation, self._seq)

    @property
    def backlog_bytes(self) -> int:
        """Bytes appended but not acknowledged: the owner's back-pressure."""
        return self._batches.backlog_bytes

    def append(
        self,
        publishes: Sequence[Publish],
        *,
        checkpoint: bytes,
        turn_phase: Phase = "idle",
        turn_ends_at_ms: int = 0,
        uplink_cursor: str = "",
        traces: Sequence[str] = (),
        events: Sequence[tuple[int, str, bytes]] = (),
    ) -> None:
        """Append frames. Returns at once; the write happens at the end of the tick.

        Args:
            publishes: The frames, in order; may be empty when only the state moved.
            checkpoint: The turn machine's state after them, for the next owner.
            turn_phase: The phase of the current turn after them, for readers.
            turn_ends_at_ms: The wall time at which the turn has played, if its phase is ``playing``; else 0.
            uplink_cursor: The last uplink entry processed, if that has changed; else empty.
            traces: By frame, the trace context, as ``Context.encode``, if it is sampled; empty: none is.
            events: What the outbox gets with the frames: index of the frame, type, and data as JSON.

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
        retention, first_seq, size_bytes = self._retention, self._seq + 1, 0
        for publish, frame in zip(publishes, frames, strict=True):
            self._seq += 1
            retention.append(self._seq, publish.turn, len(frame))
            size_bytes += len(frame)
        self._batches.append(
            PendingBatch(
                frames=frames,
                kinds=[publish.kind for publish in publishes],
                first_seq=first_seq,
                turn=retention.turn,
                turn_first=retention.turn_first,
                turn_before=retention.turn_before,
                trim_to=retention.trim(),
                checkpoint=checkpoint,
                turn_phase=turn_phase,
                turn_ends_at_ms=turn_ends_at_ms,
                uplink_cursor=uplink_cursor,
                traces=traces,
                size_bytes=size_bytes,
                at=time.monotonic(),
                events=[FrameEvent(first_seq + i, kind, data) for i, kind, data in events] if events else (),
            )
        )
        self._count_retained(retention.size_bytes)
        if not self._batches.in_flight:
            self._schedule(self)

    def _count_retained(self, size_bytes: int) -> None:
        STREAM_BYTES.value += size_bytes - self._retained_bytes
        self._retained_bytes = size_bytes

    async def drained(self) -> None:
        """Wait until everything appended is acknowledged, or the writer is closed. Safe to cancel."""
        while (self._batches.pending or self._batches.in_flight or self._restoring) and not self._closed:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def close(self) -> None:
        """Discard what is not acknowledged and write no more."""
        self._closed = True
        self._count_retained(0)
        self._batches.clear()
        self._signal_drained()

    def trim(self, before: float) -> None:
        """Discard acknowledged frames that were appended before a moment of the monotonic clock."""
        self._batches.trim(before)

    # --- publishing ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what is pending as one script call, unless one is in flight."""
        batches = self._batches
        if self._closed or self._restoring or batches.in_flight or not batches.pending:
            return
        self._attempt += 1
        batches.dispatch(MAX_CALL_BYTES)
        self._send()

    def _send(self) -> None:
        first, last = self._batches.in_flight[0], self._batches.in_flight[-1]
        uplink_cursor, trim_to = "", None
        frames: list[str | bytes | int] = []
        events: list[FrameEvent] = []
        for batch in self._batches.in_flight:
            uplink_cursor, trim_to = batch.uplink_cursor or uplink_cursor, batch.trim_to or trim_to
            if batch.events:
                events += batch.events
            if batch.traces:
                for frame, trace in zip(batch.frames, batch.traces, strict=True):
                    frames += (frame, trace)
            else:
                for frame in batch.frames:
                    frames += (frame, "")
        call = publish_script.publish(
            self.lease.keys,
            generation=self.lease.generation,
            first_seq=first.first_seq,
            turn=last.turn,
            turn_first=last.turn_first,
            turn_before=last.turn_before,
            trim_to=trim_to,
            uplink_cursor=uplink_cursor,
            checkpoint=last.checkpoint,
            turn_phase=last.turn_phase,
            turn_ends_at_ms=last.turn_ends_at_ms,
            waiting_bytes=self._waiting_bytes,
            frames=frames,
            events=events,
            outbox_entries=self._outbox_entries,
        )
        try:
            reply = self._client.submit_script(call.script, call.keys, *call.arguments)
        except StoreError as error:
            self._retry(error, partial(self._repeat, self._attempt))
            return
        reply.add_done_callback(partial(self._on_reply, self._attempt))

    def _on_reply(self, attempt: int, reply: asyncio.Future[Reply]) -> None:
        # A restore overtakes the call in flight: its frames are appended again, its reply is ignored.
        if self._closed or reply.cancelled() or attempt != self._attempt:
            return
        outcome = _outcome(reply, publish_script.read)
        if isinstance(outcome, int):
            self._acknowledge()
        elif self._is_loss(outcome):
            self.restore(type(outcome).__name__.lower())
        elif outcome.retryable:
            self._retry(outcome, partial(self._repeat, attempt))
        else:
            self._fail(outcome)

    def _is_loss(self, error: StoreError) -> bool:
        """Whether Redis has lost what it had acknowledged: frames, the record or our generation in it."""
        fenced_by_the_past = isinstance(error, Fenced) and error.generation < self.lease.generation
        return fenced_by_the_past or isinstance(error, TailLost | Missing)

    def _acknowledge(self) -> None:
        acknowledged = self._batches.acknowledge()
        SECONDS.observe(time.monotonic() - acknowledged[0].at)
        for batch in acknowledged:
            for kind, frame in zip(batch.kinds, batch.frames, strict=True):
                _FRAMES[kind].value += 1
                _FRAME_BYTES[kind].value += len(frame)
        PUBLISHED_AT.value = int(time.time())
        self._failures = 0
        self._continue()

    def _retry(self, error: StoreError, again: Callable[[], None]) -> None:
        # The same frames under the same ids: Redis skips those it has (scripts/publish.lua).
        RETRIES.inc()
        if self._failures == 0:
            log.warning("publish retry", conversation=self.lease.keys.id, error=str(error))
        wait_s = RECONNECT_WAIT.compute(self._failures)
        self._failures += 1
        asyncio.get_running_loop().call_later(wait_s, again)

    def _repeat(self, attempt: int) -> None:
        if attempt == self._attempt and not self._closed:
            self._send()

    # --- restoring -----------------------------------------------------------------------------

    def restore(self, reason: str) -> None:
        """Restore the ownership after Redis lost the record, our lease or the last frames. Idempotent."""
        if not self._closed and not self._restoring:
            self._restoring = True
            RESTORED.labels(reason).inc()
            log.warning("redis has lost data, restoring", conversation=self.lease.keys.id, reason=reason)
            self._send_restore()

    def _send_restore(self) -> None:
        if self._closed:
            return
        floor, events = self._batches.floor(self._seq), self._batches.released_events
        try:
            reply = submit_restore(
                self._client, self.lease, floor=floor, events=events, progress=self._progress()
            )
        except StoreError as error:
            self._retry(error, self._send_restore)
            return
        reply.add_done_callback(self._on_restore_reply)

    def _on_restore_reply(self, reply: asyncio.Future[Reply]) -> None:
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
            self._fail(outcome)

    def _rewind(self, seq: int) -> None:
        self._attempt += 1
        for batch in self._batches.rewind(seq):
            RETRANSMITTED.inc(len(batch.frames))
        self._continue()

    # --- ends ----------------------------------------------------------------------------------

    def _continue(self) -> None:
        if self._batches.pending:
            self._schedule(self)
        else:
            self._signal_drained()

    def _fail(self, error: StoreError) -> None:
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
