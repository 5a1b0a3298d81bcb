"""Capacity: how many conversations a worker has room for. Pure.

A conversation that nobody has spoken in for long costs its worker hardly anything. So it leaves its place to
one that is spoken in, up to a bound of its own.
"""

from typing import NamedTuple


class Capacity(NamedTuple):
    """What a worker owns at once."""

    active: int
    """Most conversations, but for those that are idle."""
    idle: int
    """Most further ones, which are."""

    def room(self, active: int, owned: int) -> int:
        """How many more it takes, when it owns so many and so many of these are active."""
        return max(0, min(self.active - active, self.active + self.idle - owned))

    def load(self, active: int, owned: int) -> float:
        """How full it is, from 0 to 1."""
        return max(active / self.active, owned / (self.active + self.idle))
