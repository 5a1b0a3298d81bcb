"""Pages: the stream's frames after a cursor, and where a viewer restarts when the next frame is gone."""

from collections.abc import Sequence
from typing import NamedTuple

from relay_gateway.fanout.batch import SharedFrame
from relay_wire import events
from relay_wire.position import Position


class ReplayPage(NamedTuple):
    """The frames that follow a cursor, or the cursor to restart from because the next frames are gone."""

    frames: Sequence[SharedFrame] = ()
    restart: Position | None = None


def unbroken(cursor: Position, frames: Sequence[SharedFrame]) -> Sequence[SharedFrame]:
    """The first of these frames, as far as they follow the cursor and each other without a hole."""
    for count, frame in enumerate(frames):
        event = events.of_frame(frame.data) if frame.position.seq == 1 else None
        if not events.follows(cursor, frame.position, event):
            return frames[:count]
        cursor = frame.position
    return frames


def restart(
    cursor: Position, frames: Sequence[SharedFrame], *, turn_first: Position, upto: Position
) -> Position:
    """The cursor to restart from: before the current turn, or before its first frame that is left.

    Args:
        cursor: The last frame the viewer has. A viewer within the current turn restarts in that turn.
        frames: The stream's frames after the cursor; empty when it has none up to ``upto``.
        turn_first: The current turn's first frame.
        upto: The last frame wanted.
    """
    left = frames[0].position.before if frames else upto
    turn = turn_first.before
    return max(left, turn) if cursor < turn else left
