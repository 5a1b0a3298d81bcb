"""Retries: what follows from the result of an attempt. Pure: the caller passes the age and the randomness."""

from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

Outcome = Literal[
    "delivered", "gone", "redirected", "refused", "failed", "timed_out", "unreachable", "untrusted",
    "forbidden", "unknown_endpoint",
]  # fmt: skip
"""Result of one attempt: a status of 2xx; 410; 3xx; another below 500; 5xx; no answer in time; no connection;
a certificate that cannot be trusted; a host or an address that is not allowed; no such endpoint."""
State = Literal["delivered", "due", "dead"]
Reason = Literal["gone", "attempts", "age"]
"""Why a delivery is a dead letter."""

_GONE = 410
_LARGEST_EXPONENT = 62


class Result(NamedTuple):
    """Result of one attempt."""

    outcome: Outcome
    status: int = 0
    """Of the answer; 0: there was none."""
    retry_after_s: float = 0.0
    """How long the receiver asks to wait."""


class Next(NamedTuple):
    """What becomes of the delivery."""

    state: State
    wait_s: float = 0.0
    """Until the next attempt, for ``due``."""
    reason: Reason | None = None
    """For ``dead``."""


class Policy(NamedTuple):
    """When attempts are repeated, and when they end."""

    backoff_s: float
    max_backoff_s: float
    attempts: int
    give_up_s: float

    def next(self, result: Result, *, attempts: int, age_s: float, random_share: float) -> Next:
        """Decide what follows from a result.

        Args:
            result: Of the attempt.
            attempts: How many attempts there were, this one included.
            age_s: Seconds since the delivery was planned, or retried by hand.
            random_share: A random number from 0 to 1.
        """
        if result.outcome == "delivered":
            return Next("delivered")
        if result.outcome == "gone":
            return Next("dead", reason="gone")
        if attempts >= self.attempts:
            return Next("dead", reason="attempts")
        if age_s >= self.give_up_s:
            return Next("dead", reason="age")
        return Next("due", self._wait_s(result, attempts, random_share))

    def _wait_s(self, result: Result, attempts: int, random_share: float) -> float:
        longest = min(self.backoff_s * 2.0 ** min(attempts - 1, _LARGEST_EXPONENT), self.max_backoff_s)
        return max(random_share * longest, min(result.retry_after_s, self.max_backoff_s))


def outcome_of(status: int) -> Outcome:
    """The outcome of an answer with this status."""
    if 200 <= status < 300:
        return "delivered"
    if status == _GONE:
        return "gone"
    if 300 <= status < 400:
        return "redirected"
    return "refused" if status < 500 else "failed"


def retry_after_s(text: str, now: float) -> float:
    """The seconds in a ``Retry-After``, which has seconds or a date; 0 when it cannot be read.

    Args:
        text: The header's value.
        now: Wall time, in seconds since the epoch.
    """
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
