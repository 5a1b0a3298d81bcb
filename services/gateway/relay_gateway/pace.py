"""Pace: how much one viewer may say, and how fast."""

from relay_runtime.allowance import Allowance
from relay_settings.limits import LimitSettings


class Pace:
    """One viewer's. Pure: the caller has the clock.

    Args:
        settings: What it may say.
        now: Seconds, of any clock that does not go back; the same for ``exceeded``.
    """

    def __init__(self, settings: LimitSettings, now: float) -> None:
        burst_s = settings.message_burst_s
        messages, size_bytes = settings.messages_per_s, settings.message_bytes_per_s
        self._messages = Allowance(messages, messages * burst_s, now)
        self._bytes = Allowance(size_bytes, size_bytes * burst_s, now)

    def exceeded(self, size_bytes: int, now: float) -> str:
        """Count one message; the limit that it exceeds, or nothing."""
        if self._messages.take(1, now):
            return "messages"
        if self._bytes.take(size_bytes, now):
            return "bytes"
        return ""
