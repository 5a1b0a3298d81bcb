"""Order: the positions of one viewer's frames as they arrive, before any client code drops or repairs one.

Pure.
"""

from relay_wire import events
from relay_wire.position import START, Position

_MOST_MISSING = 100_000
"""Most missing positions that are kept; further ones are only counted."""


class Order:
    """Counts what is missing, repeated and reordered among the frames of one viewer.

    Attributes:
        frames: Frames that arrived for the first time.
        repeated: Frames that had arrived before.
        reordered: Frames that arrived after a later one.
        gaps: Gaps that gateways announced: frames that retention had removed.
    """

    def __init__(self) -> None:
        self.frames = self.repeated = self.reordered = self.gaps = 0
        self._cursor: Position | None = None
        self._missing: set[Position] = set()
        self._uncounted = 0
        """Missing frames whose positions are unknown, as at the end of an earlier generation, or not kept."""

    @property
    def lost(self) -> int:
        """Frames that a later frame shows to exist, and that have not arrived."""
        return len(self._missing) + self._uncounted

    def begin(self, position: Position) -> None:
        """Set the position before the first frame, from the first ``hello``; later calls have no effect."""
        if self._cursor is None:
            self._cursor = position

    def skip(self, to: Position) -> None:
        """Record an announced gap up to this position."""
        self.gaps += 1
        self._cursor = max(self._cursor or START, to)

    def receive(self, position: Position, event: events.Event | events.Unknown | None) -> bool:
        """Record a frame; returns whether it arrived for the first time.

        Args:
            position: Its position.
            event: The event in it; None when it has another kind.
        """
        cursor = position.before if self._cursor is None else self._cursor
        if position <= cursor:
            return self._receive_late(position)
        if not events.follows(cursor, position, event):
            self._note_missing(cursor, position, event)
        self._cursor = position
        self.frames += 1
        return True

    def _receive_late(self, position: Position) -> bool:
        if position not in self._missing:
            self.repeated += 1
            return False
        self._missing.discard(position)
        self.reordered += 1
        self.frames += 1
        return True

    def _note_missing(
        self, cursor: Position, position: Position, event: events.Event | events.Unknown | None
    ) -> None:
        generation, seq = position
        if generation == cursor.generation:
            self._miss(generation, cursor.seq + 1, seq)
            return
        self._miss(generation, 1, seq)
        former = Position.parse(event.after) if isinstance(event, events.OwnerChanged) else None
        if former is not None and former.generation == cursor.generation:
            self._miss(former.generation, cursor.seq + 1, former.seq + 1)
        else:
            self._uncounted += 1  # at least one: the frame that would name the earlier generation's last

    def _miss(self, generation: int, first: int, end: int) -> None:
        kept_end = min(end, first + _MOST_MISSING - len(self._missing))
        self._missing.update(Position(generation, seq) for seq in range(first, kept_end))
        self._uncounted += max(end - max(kept_end, first), 0)
