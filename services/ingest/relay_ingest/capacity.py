"""Capacity: how many further conversations a worker may own. Pure.

A conversation without speech for a while costs its worker hardly any CPU. It leaves its place to an active
one, up to a limit of its own.
"""

from typing import NamedTuple


class Capacity(NamedTuple):
    """Limits of the conversations that a worker owns."""

    active: int
    """Most active conversations."""
    idle: int
    """Most further conversations, which are idle."""

    def room(self, active: int, owned: int) -> int:
        """How many more the worker may own, when it owns ``owned``, of which ``active`` are active."""
        return max(0, min(self.active - active, self.active + self.idle - owned))

    def load(self, active: int, owned: int) -> float:
        """How full the worker is, from 0 to 1."""
        return max(active / self.active, owned / (self.active + self.idle))
