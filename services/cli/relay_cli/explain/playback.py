"""Playback of a medium that is played as soon as its first payload is there: where it runs out."""

from collections.abc import Iterable
from typing import NamedTuple


class Arrival(NamedTuple):
    """A payload: its time, and how long it plays."""

    at_s: float
    media_s: float


class Stall(NamedTuple):
    """A time in which the payloads before had played and the next was not there yet."""

    until_s: float
    """When the next payload came."""
    seconds: float
    media_s: float
    """Where the next payload ends in its medium."""

    @property
    def since_s(self) -> float:
        """When the payloads before had played."""
        return self.until_s - self.seconds


def stalls(arrivals: Iterable[Arrival], *, least_s: float = 0.0) -> list[Stall]:
    """Every stall longer than ``least_s``; each delays what plays after it.

    Args:
        arrivals: In order of time. One that plays for 0 s ends a stall as well.
        least_s: Shorter ones are left out of the result.
    """
    found: list[Stall] = []
    played_at_s: float | None = None
    position_s = 0.0
    for at_s, media_s in arrivals:
        position_s += media_s
        if played_at_s is not None and at_s - played_at_s > least_s:
            found.append(Stall(at_s, at_s - played_at_s, position_s))
        played_at_s = max(at_s, played_at_s if played_at_s is not None else at_s) + media_s
    return found
