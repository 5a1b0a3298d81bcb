"""The order of frames: what each frame of a conversation is to the viewer that received it. Pure.

The rule of successors is that of ``relay_wire.events.follows``; this remembers what has come.
"""

from collections import deque
from enum import Enum

from relay_wire import events
from relay_wire.frame import Frame
from relay_wire.position import START, Position

HOLES = 64
"""Holes that are remembered, to distinguish a late frame from a repeated one."""


class Arrival(Enum):
    """What a received frame is."""

    NEXT = "next"
    """The successor of the frame before it."""
    NOTICE = "notice"
    """An event of the gateway, which has no position."""
    GAP = "gap"
    """The gateway announced that frames are gone for this viewer."""
    LOST = "lost"
    """Not the successor: frames are missing, and no gap announced it."""
    REPEATED = "repeated"
    """A frame that came before."""
    REORDERED = "reordered"
    """A frame that was missing, after a later one."""


class FrameOrder:
    """The order of one viewer's frames, over all of its sockets."""

    def __init__(self) -> None:
        self.cursor: Position | None = None
        """The position of the last frame, from which to resume; None before the first ``hello``."""
        self.ended = False
        """Whether ``conversation_ended`` came, the last frame of a conversation."""
        self._holes: deque[tuple[Position, Position]] = deque(maxlen=HOLES)

    def admit(self, frame: Frame, event: events.Event | events.Unknown | None) -> Arrival:
        """Classify the next frame.

        Args:
            frame: The frame.
            event: The event in it, if there is one.
        """
        if frame.seq == 0:
            return self._notice(event)
        return self._place(frame.position, event)

    def _notice(self, event: events.Event | events.Unknown | None) -> Arrival:
        match event:
            case events.Hello(position) if self.cursor is None:
                self.cursor = Position.parse(position)
            case events.Gap(_, to):
                self.cursor = max(self.cursor or START, Position.parse(to))
                return Arrival.GAP
        return Arrival.NOTICE

    def _place(self, position: Position, event: events.Event | events.Unknown | None) -> Arrival:
        cursor = self.cursor or START
        if position <= cursor:
            late = any(before < position < after for before, after in self._holes)
            return Arrival.REORDERED if late else Arrival.REPEATED
        follows = events.follows(cursor, position, event)
        if not follows:
            self._holes.append((cursor, position))
        self.cursor = position
        self.ended = isinstance(event, events.ConversationEnded)
        return Arrival.NEXT if follows else Arrival.LOST
