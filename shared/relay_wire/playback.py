"""Playback: how long viewers still hear a turn all of whose audio is out. Pure: the caller has the clock.

It ends at the time computed from the audio, and a grace for the network and the clients' start. A viewer that
reports to be behind is waited for, within bounds; that one has finished ends the wait for this one only, and
the grace. So no report ends a turn for other viewers.
"""

from typing import NamedTuple


class PlaybackLimits(NamedTuple):
    """In seconds, and in viewers."""

    grace_s: float
    """Added to the computed end."""
    report_s: float
    """How far reports may move the end past that."""
    viewers: int
    """Those that are behind and are waited for at a time."""


class Playback:
    """One turn's playback.

    Args:
        played_at: The computed end.
        limits: The bounds.
    """

    def __init__(self, played_at: float, limits: PlaybackLimits) -> None:
        self._played_at = played_at
        self._limits = limits
        self._grace_s = limits.grace_s
        self._behind: dict[str, float] = {}
        """Until when viewers play that have reported to be behind."""

    @property
    def ends_at(self) -> float:
        """When nobody hears it any more, as far as is known now."""
        return max([self._played_at + self._grace_s, *self._behind.values()])

    def finished(self, viewer: str) -> None:
        """A viewer has played it."""
        self._behind.pop(viewer, None)
        self._grace_s = 0.0

    def report(self, viewer: str, until: float) -> bool:
        """A viewer plays until then. False when it is behind, and too many others are."""
        self._behind.pop(viewer, None)
        until += self._limits.grace_s
        if until <= self._played_at:
            return True
        if len(self._behind) >= self._limits.viewers:
            return False
        limit = self._played_at + self._limits.grace_s + self._limits.report_s
        self._behind[viewer] = min(until, limit)
        return True
