"""A schedule: items in the order in which they are due. Pure: the caller has the clock."""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """Items by the tick in which they are due: one table instead of a timer for every item.

    ``add`` and ``remove`` cost the same for any number of items; ``pop`` costs the ticks that have passed.
    Within a tick items come in any order.

    Args:
        tick_s: The resolution: an item is never early, and at most this much late.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._ticks: dict[int, set[T]] = {}
        self._next = 0
        """The earliest tick that can have items."""

    def __iter__(self) -> Iterator[T]:
        return iter([item for items in self._ticks.values() for item in items])

    def add(self, item: T, due: float) -> int:
        """Add an item that is in no schedule yet.

        Args:
            item: The item.
            due: When it is due, in seconds of the clock whose time ``pop`` receives.

        Returns:
            Its tick, for ``remove``.
        """
        tick = math.ceil(due / self._tick_s)
        self._next = min(self._next, tick) if self._ticks else tick
        self._ticks.setdefault(tick, set()).add(item)
        return tick

    def remove(self, item: T, tick: int) -> None:
        """Remove an item from its tick. Without effect on an item that was popped."""
        items = self._ticks.get(tick)
        if items is not None:
            items.discard(item)
            if not items:
                del self._ticks[tick]

    def pop(self, now: float) -> T | None:
        """Remove and return one item that is due, None when there is none."""
        last = math.floor(now / self._tick_s)
        while self._ticks and self._next <= last:
            items = self._ticks.get(self._next)
            if items is None:
                self._next += 1
                continue
            item = items.pop()
            if not items:
                del self._ticks[self._next]
            return item
        return None
