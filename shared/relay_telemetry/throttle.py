"""Throttles: bound the rate of repeated log lines."""

import time


class Throttle:
    """Admits one line of a kind per interval, and counts the suppressed ones.

    Args:
        interval_s: Between two lines of one kind.
    """

    def __init__(self, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._kinds: dict[str, tuple[float, int]] = {}
        """By kind: when its last line was admitted, and how many have been suppressed since."""

    def admit(self, kind: str) -> int | None:
        """Admit a line: the number of lines suppressed since the last one; None if this one is suppressed."""
        now = time.monotonic()
        admitted_at, suppressed = self._kinds.get(kind, (-self._interval_s, 0))
        if now - admitted_at < self._interval_s:
            self._kinds[kind] = (admitted_at, suppressed + 1)
            return None
        self._kinds[kind] = (now, 0)
        return suppressed
