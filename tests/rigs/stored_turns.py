"""Frames of a turn as a down stream keeps them, from a list of what happened when."""

from relay_cli.explain.frames import StoredFrame
from relay_cli.explain.turn import Turn
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.position import Position

RATE = 16000
BYTES_PER_S = 2 * RATE
START_S = 1_700_000_000.0
"""The wall time at which a rig's turn begins."""


class Frames:
    """Builds frames one after the other, in one generation after the other."""

    def __init__(self, turn: int = 3, generation: int = 100) -> None:
        self.frames: list[StoredFrame] = []
        self._turn = turn
        self._generation = generation
        self._seq = 10

    def event(self, at_s: float, event: events.Event, *, outside: bool = False) -> "Frames":
        """An event, of the turn or outside any."""
        return self._add(at_s, Kind.EVENT, 40, event=event, turn=0 if outside else self._turn)

    def audio(self, at_s: float, seconds: float, *, end: bool = False, traceparent: str = "") -> "Frames":
        """Audio of this duration."""
        return self._add(at_s, Kind.AUDIO, int(seconds * BYTES_PER_S), end=end, traceparent=traceparent)

    def motion(self, at_s: float, size_bytes: int, *, end: bool = False) -> "Frames":
        """A payload of motion."""
        return self._add(at_s, Kind.MOTION, size_bytes, end=end)

    def skip(self, count: int) -> "Frames":
        """Positions that are lost."""
        self._seq += count
        return self

    def owner_changed(self, at_s: float) -> "Frames":
        """The first frame of the next generation."""
        last = self.frames[-1].position
        self._generation, self._seq = self._generation + 50, 0
        return self.event(at_s, events.OwnerChanged(str(last)), outside=True)

    def turn(self, *, stored_at_s: float | None = None) -> Turn:
        """The turn of these frames."""
        stored = None if stored_at_s is None else START_S + stored_at_s
        return Turn(self._turn, self.frames, RATE, stored)

    def _add(
        self, at_s: float, kind: Kind, size_bytes: int, *, end: bool = False,
        event: events.Event | None = None, turn: int | None = None, traceparent: str = "",
    ) -> "Frames":  # fmt: skip
        self._seq += 1
        self.frames.append(
            StoredFrame(
                Position(self._generation, self._seq), kind, self._turn if turn is None else turn, 0,
                START_S + at_s, size_bytes, end, event, traceparent,
            )
        )  # fmt: skip
        return self


def complete() -> Frames:
    """Three seconds of speech whose motion came in time: 30,000 bytes a second."""
    return (
        Frames()
        .event(0.0, events.TurnStarted())
        .audio(0.01, 1.0)
        .audio(0.2, 2.0, end=True)
        .motion(0.5, 15_000)
        .motion(0.8, 75_000, end=True)
        .event(0.81, events.TurnEnded("complete"))
    )
