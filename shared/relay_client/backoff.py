"""Backoff: when a viewer reconnects, or that it gives up. Pure: the caller passes the time."""

import random
from collections.abc import Callable

from relay_wire.close_codes import ReconnectAdvice

RESUME_JITTER_S = 0.25
"""Longest wait after a break without advice. A gateway that dies cuts all its viewers at once: a
thousand of them come back at four a millisecond, and one alone hardly notices."""
FIRST_WAIT_S = 0.1
"""Longest wait after the first attempt that failed."""
GROWTH = 1.5
"""By which it grows with each further one. Of viewers whose network is away for 2 s half are back 0.5 s after
it and 95 % after 1.8 s, at 8 attempts each; doubling needs 6 and takes 0.9 and 3.1 s (20,000 drawn)."""
LONGEST_WAIT_S = 5.0
HEALTHY_S = 2.0
"""A connection that lasted this long counts as good, even without a frame."""


class Backoff:
    """Counts what fails in a row. Every wait is random, from nothing up to its limit ("full jitter").

    Args:
        give_up_s: How long connecting may fail before it gives up; None for ever.
        randomly: From 0 to 1.
    """

    def __init__(self, give_up_s: float | None, randomly: Callable[[], float] = random.random) -> None:
        self._give_up_s = give_up_s
        self._randomly = randomly
        self._failures = 0
        self._failing_since = 0.0

    def reset(self) -> None:
        """A connection proved good: it brought a frame, or lasted ``HEALTHY_S``."""
        self._failures = 0

    def next_wait_s(self, advice: ReconnectAdvice, now: float) -> float | None:
        """How long to wait before the next attempt, after a connection ended or could not be made.

        A gateway that accepts and closes at once is waited for like one that refuses.

        Args:
            advice: The close code's advice; BACK_OFF when there was no connection.
            now: In seconds, of any steady clock.

        Returns:
            Seconds; None when it is time to give up.
        """
        if not self._failures:
            self._failing_since = now
        elif self._give_up_s is not None and now - self._failing_since >= self._give_up_s:
            return None
        if advice is ReconnectAdvice.RESUME and not self._failures:
            longest = RESUME_JITTER_S
        else:
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * GROWTH ** min(self._failures, 20))
        self._failures += 1
        return self._randomly() * longest
