"""Retention: which frames of a conversation's down stream are kept.

Kept are the frames of the current turn and of the one before, up to a number of bytes: beyond it the oldest
go, and the newest frame always stays. The rule is applied once for each append, and the result is the oldest
frame to keep, for XTRIM.
"""

from collections import deque

from relay_wire.position import START, Position


class Retention:
    """The frames of one ownership that the stream keeps.

    Args:
        generation: The ownership.
        limit_bytes: Most bytes of frames.
        turn: The last turn of the ownership before; 0 for none.
        turn_first: The position of its first frame.
        turn_before: The position of the first frame of the turn before it.
    """

    def __init__(
        self,
        generation: int,
        limit_bytes: int,
        *,
        turn: int = 0,
        turn_first: Position = START,
        turn_before: Position = START,
    ) -> None:
        self.turn = turn
        """The current turn."""
        self.turn_first = turn_first
        """The position of its first frame."""
        self.turn_before = turn_before
        """The position of the first frame of the turn before it."""
        self._generation = generation
        self._limit_bytes = limit_bytes
        self._frames: deque[tuple[int, int]] = deque()
        """Seq and bytes of each frame that is kept."""
        self._size_bytes = 0
        self._trimmed_to = START

    @property
    def size_bytes(self) -> int:
        """Bytes of the frames that are kept."""
        return self._size_bytes

    def append(self, seq: int, turn: int, size_bytes: int) -> None:
        """Count a frame. One of a greater turn begins that turn."""
        if turn > self.turn:
            self.turn = turn
            self.turn_before, self.turn_first = self.turn_first, Position(self._generation, seq)
        self._frames.append((seq, size_bytes))
        self._size_bytes += size_bytes

    def trim(self) -> Position | None:
        """Apply the rule. Returns the oldest frame to keep, or None when that has not changed."""
        frames, oldest = self._frames, self.turn_before
        # While the previous turn began in an earlier generation, all frames of ours belong to kept turns.
        first = oldest.seq if oldest.generation == self._generation else 0
        while len(frames) > 1 and frames[0][0] < first:
            self._size_bytes -= frames.popleft()[1]
        while len(frames) > 1 and self._size_bytes > self._limit_bytes:
            self._size_bytes -= frames.popleft()[1]
        if frames and frames[0][0] > max(first, 1):
            oldest = Position(self._generation, frames[0][0])
        if oldest <= self._trimmed_to:
            return None
        self._trimmed_to = oldest
        return oldest
