"""Playback: how long viewers still play a turn whose audio is complete. Pure: the caller passes the time.

Playback ends at the time computed from the audio, plus a grace for the network and the clients' start. A
viewer that reports to be behind extends it, within bounds; a viewer that reports to have finished ends its
own extension and the grace. So no report ends a turn for other viewers.
"""

from typing import NamedTuple


class PlaybackLimits(NamedTuple):
    """Bounds of the wait: times in seconds, and a number of viewers."""

    grace_s: float
    """Added to the computed end."""
    report_s: float
    """How far reports may move the end past that."""
    viewers: int
    """Viewers behind the computed end that can extend it at a time."""


class TurnPlayback:
    """The playback of one turn, by all viewers.

    Args:
        computed_end: The end computed from the audio.
        limits: The bounds.
    """

    def __init__(self, computed_end: float, limits: PlaybackLimits) -> None:
        self.computed_end = computed_end
        self._limits = limits
        self._grace_s = limits.grace_s
        self._behind: dict[str, float] = {}
        """By viewer behind the computed end, when its playback ends."""

    @property
    def ends_at(self) -> float:
        """When the last viewer has finished, as far as is known now."""
        return max([self.computed_end + self._grace_s, *self._behind.values()])

    def finish(self, viewer: str) -> None:
        """Record that a viewer has finished."""
        self._behind.pop(viewer, None)
        self._grace_s = 0.0

    def report(self, viewer: str, until: float) -> bool:
        """Record until when a viewer plays. False when it is behind and too many others are, too."""
        self._behind.pop(viewer, None)
        until += self._limits.grace_s
        if until <= self.computed_end:
            return True
        if len(self._behind) >= self._limits.viewers:
            return False
        limit = self.computed_end + self._limits.grace_s + self._limits.report_s
        self._behind[viewer] = min(until, limit)
        return True
