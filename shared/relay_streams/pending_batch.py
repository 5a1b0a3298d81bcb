"""Appends: frames that belong together on their way into a down stream."""

import time
from dataclasses import dataclass, field, replace
from typing import Self

from relay_turns.phase import Phase
from relay_wire.frame import Kind
from relay_wire.position import Position


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
    up: str
    traceparent: str
    size_bytes: int
    at: float = field(default_factory=time.monotonic)

    @property
    def last_seq(self) -> int:
        """The last of its frames; the one before the first when it has none."""
        return self.first_seq + len(self.frames) - 1

    def without_frames(self) -> Self:
        """Only the state."""
        return replace(self, frames=[], kinds=[], first_seq=self.last_seq + 1, size_bytes=0)
