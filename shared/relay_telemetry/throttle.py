"""Throttles: log lines that repeat, a few at a time."""

import time


class Throttle:
    """Admits one line of a kind per interval, and counts those it holds back.

    Args:
        interval_s: Between two lines of one kind.
    """

    def __init__(self, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._kinds: dict[str, tuple[float, int]] = {}
        """When the last line of a kind was admitted, and how many have been held back since."""

    def admit(self, kind: str) -> int | None:
        """How many lines of this kind were held back since the last; None: this one is held back, too."""
        now = time.monotonic()
        admitted_at, held_back = self._kinds.get(kind, (-self._interval_s, 0))
        if now - admitted_at < self._interval_s:
            self._kinds[kind] = (admitted_at, held_back + 1)
            return None
        self._kinds[kind] = (now, 0)
        return held_back
