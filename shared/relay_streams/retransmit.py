"""Retransmission: the frames of one writer that Redis may not have, or may lose.

A batch is pending, then in flight with the script call that appends it, then acknowledged. Redis can lose
what it has acknowledged (a restart without its data, a fail-over to a replica that was behind), so the last
acknowledged batches are kept, bounded in bytes and age, and become pending again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from relay_streams.scripts.publish import FrameEvent
from relay_telemetry.fast_counter import FastCounter
from relay_turns.phase import Phase
from relay_wire.frame import Kind
from relay_wire.position import Position

BACKLOG = FastCounter("relay_publish_backlog_bytes", "Bytes of frames that are not acknowledged yet.")
RETAINED = FastCounter(
    "relay_publish_retransmit_bytes", "Bytes of acknowledged frames that are kept to append them again."
)


@dataclass(slots=True)
class PendingBatch:
    """Frames that belong together, and the state after the last of them."""

    frames: list[bytes]
    kinds: list[Kind]
    first_seq: int
    turn: int
    turn_first: Position
    turn_before: Position
    trim_to: Position | None
    checkpoint: bytes
    turn_phase: Phase
    turn_ends_at_ms: int
    uplink_cursor: str
    traces: Sequence[str]
    """By frame, the trace context; empty: none is sampled."""
    size_bytes: int
    at: float
    """When it was appended, on the monotonic clock."""
    events: Sequence[FrameEvent] = ()
    """What the outbox gets with its frames."""

    @property
    def last_seq(self) -> int:
        """The last of its frames; the one before the first when it has none."""
        return self.first_seq + len(self.frames) - 1

    def without_frames(self) -> Self:
        """The same state after the same frame, with nothing to append."""
        return replace(
            self, frames=[], kinds=[], traces=(), first_seq=self.last_seq + 1, size_bytes=0, events=()
        )


class RetransmitBuffer:
    """The batches of one writer, in order: acknowledged, in flight, pending.

    Args:
        limit_bytes: Most bytes of acknowledged frames; the oldest batches go first.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.pending: deque[PendingBatch] = deque()
        self.in_flight: list[PendingBatch] = []
        self.backlog_bytes = 0
        """Bytes of frames pending or in flight."""
        self.released_events = 0
        """How many events the acknowledged batches had that are here no more."""
        self._acknowledged: deque[PendingBatch] = deque()
        self._acknowledged_bytes = 0
        self._limit_bytes = limit_bytes
        self._latest: PendingBatch | None = None

    def append(self, batch: PendingBatch) -> None:
        """Add a batch behind all others."""
        self._latest = batch
        self.pending.append(batch)
        self._resize_backlog(batch.size_bytes)

    def dispatch(self, limit_bytes: int) -> None:
        """Move pending batches of ``limit_bytes``, and at least one, in flight. None may be in flight."""
        size_bytes = 0
        while self.pending and (not self.in_flight or size_bytes < limit_bytes):
            batch = self.pending.popleft()
            self.in_flight.append(batch)
            size_bytes += batch.size_bytes

    def acknowledge(self) -> list[PendingBatch]:
        """Move what is in flight to the acknowledged. Returns it."""
        batches, self.in_flight = self.in_flight, []
        for batch in batches:
            self._resize_backlog(-batch.size_bytes)
            self._acknowledged.append(batch)
            self._resize_acknowledged(batch.size_bytes)
        while self._acknowledged_bytes > self._limit_bytes:
            self._release_oldest()
        return batches

    def trim(self, before: float) -> None:
        """Remove the acknowledged that were appended before a moment of the monotonic clock."""
        while self._acknowledged and self._acknowledged[0].at < before:
            self._release_oldest()

    def floor(self, last_seq: int) -> int:
        """The seq before the oldest frame here; ``last_seq``, the writer's last, when there is none."""
        for batches in (self._acknowledged, self.in_flight, self.pending):
            if batches:
                return batches[0].first_seq - 1
        return last_seq

    def rewind(self, seq: int) -> list[PendingBatch]:
        """Make everything with frames after ``seq`` pending again. Returns what had been acknowledged.

        When nothing is pending, the state of the latest batch is: Redis may have lost that, too.
        """
        lost: deque[PendingBatch] = deque()
        while self._acknowledged and self._acknowledged[-1].last_seq > seq:
            batch = self._acknowledged.pop()
            lost.appendleft(batch)
            self._resize_acknowledged(-batch.size_bytes)
            self._resize_backlog(batch.size_bytes)
        if not (self.in_flight or self.pending) and self._latest is not None:
            self.pending.append(self._latest.without_frames())
        self.pending.extendleft(reversed([*lost, *self.in_flight]))
        self.in_flight = []
        return list(lost)

    def clear(self) -> None:
        """Remove everything."""
        self.pending.clear()
        self.in_flight = []
        self._acknowledged.clear()
        self._resize_acknowledged(-self._acknowledged_bytes)
        self._resize_backlog(-self.backlog_bytes)

    def _release_oldest(self) -> None:
        oldest = self._acknowledged.popleft()
        self.released_events += len(oldest.events)
        self._resize_acknowledged(-oldest.size_bytes)

    def _resize_backlog(self, by_bytes: int) -> None:
        self.backlog_bytes += by_bytes
        BACKLOG.value += by_bytes

    def _resize_acknowledged(self, by_bytes: int) -> None:
        self._acknowledged_bytes += by_bytes
        RETAINED.value += by_bytes
