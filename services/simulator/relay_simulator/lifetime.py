"""Lifetime: when and how Motion Server itself ends a session (facts 1.14, 2.1, 8).

The texts are those the SDK knows. The code of the idle texts is not published; here it is gRPC's
DEADLINE_EXCEEDED, as the codes of the handshake are gRPC's.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import WSCloseCode

_DEADLINE_EXCEEDED = 4
_NEVER = float("inf")
_LONGEST_SLEEP_S = 3600.0


class Ending(NamedTuple):
    """The message and the close code that end a session."""

    code: int
    """Code of the ServerError; 0: none is sent."""
    text: str
    close_code: int


CREDITS_EXHAUSTED = Ending(4001, "Credits exhausted", 4001)
TIME_LIMIT = Ending(4002, "session time limit reached", 4002)
TOKEN_EXPIRED = Ending(0, "session token expired", 4010)
ROOM_LOST = Ending(14, "failed to create egress connection: the room was left", WSCloseCode.OK)


def idle(idle_s: float, *, in_a_room: bool) -> Ending:
    """The ending of a session without audio for ``idle_s``."""
    text = "livekit silence timeout" if in_a_room else f"no audio input for {idle_s:g}s"
    return Ending(_DEADLINE_EXCEEDED, text, WSCloseCode.OK)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a session's duration. Zero is no limit."""

    session_s: float
    """From its confirmation."""
    idle_s: float
    """Since its last audio, received or played."""
    expires_at: float | None
    """When its token expires, in seconds since the epoch; None: that does not end it."""
    speed: float
    """Divides the first two."""


class Lifetime:
    """The lifetime of one session, from its confirmation on.

    Args:
        limits: The limits.
        idle_ending: The ending of an idle session.
        is_busy: Whether the session works although it receives nothing.
    """

    def __init__(self, limits: Limits, idle_ending: Ending, is_busy: Callable[[], bool]) -> None:
        self._idle_s = limits.idle_s / limits.speed or _NEVER
        self._idle_ending = idle_ending
        self._is_busy = is_busy
        now = time.monotonic()
        self._active_at = now
        session_s = limits.session_s / limits.speed or _NEVER
        until_expiry = _NEVER if limits.expires_at is None else limits.expires_at - time.time()
        self._deadline, self._ending = min(
            (now + session_s, TIME_LIMIT), (now + until_expiry, TOKEN_EXPIRED), key=lambda limit: limit[0]
        )

    def mark_active(self) -> None:
        """Record audio at this time."""
        self._active_at = time.monotonic()

    async def over(self) -> Ending:
        """Wait until the session must end; returns its ending."""
        while True:
            now = time.monotonic()
            if self._is_busy():
                self._active_at = now
            idle_deadline = self._active_at + self._idle_s
            if now >= self._deadline:
                return self._ending
            if now >= idle_deadline:
                return self._idle_ending
            await asyncio.sleep(min(self._deadline - now, idle_deadline - now, _LONGEST_SLEEP_S))
