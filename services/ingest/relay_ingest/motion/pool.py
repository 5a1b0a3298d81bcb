"""Motion pool: the source of Motion sessions.

A Motion session occupies a seat of the vendor's plan. ``UnlimitedPool`` opens a session for each acquisition
and leaves it to the vendor to refuse; a pool that shares a number of seats among all workers is another
``MotionPool``.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from enum import IntEnum
from typing import Any, Protocol

from prometheus_client import Counter, Gauge, Histogram
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from relay_ingest.motion.failures import MotionFailed
from relay_ingest.motion.session import MotionConversation, MotionSession
from relay_ingest.motion.vendor import Vendor
from relay_wire.billing import credits_of

SESSIONS = Gauge("relay_motion_sessions", "Motion sessions open or opening: seats in use.")
OPENED = Counter("relay_motion_opened_total", "Motion sessions opened.")
CONNECTED_SECONDS = Counter("relay_motion_connected_seconds_total", "Connected time, which the vendor bills.")
CREDITS = Counter(
    "relay_motion_credits_total", "Credits that the vendor bills for closed Motion sessions, by its rule."
)
SESSION_SECONDS = Histogram(
    "relay_motion_session_seconds",
    "Life of a Motion session, from its handshake to its release.",
    buckets=(6, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600),
)
OPEN_SECONDS = Histogram(
    "relay_motion_open_seconds",
    "Time to open a Motion session: token, connection and handshake, with repeated attempts.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)

OPEN_ATTEMPTS = 2
"""Attempts to open a session; each gets a token of its own (facts 2.1)."""


class Priority(IntEnum):
    """The order in which a pool serves acquisitions when it has too few seats; the smallest first."""

    TURN = 0
    """Audio of a turn waits to be sent."""


class MotionPool(Protocol):
    """Source of open Motion sessions."""

    async def acquire(self, conversation: MotionConversation, priority: Priority, /) -> MotionSession:
        """Get an open session for the conversation's avatar, for the caller alone until it is released.

        Raises:
            MotionFailed: No session could be opened.

        Cancelling is safe.
        """

    def release(self, session: MotionSession, /) -> None:
        """Return a session; the caller must not use it any more. Does not block."""


class UnlimitedPool:
    """Opens a session for each acquisition, whatever its priority, and closes it when it is released.

    Args:
        vendor: Creates the SDK's sessions.
        close_s: Longest wait for Motion Server to close its side.
        spawn: Starts a task that the worker owns: sessions close in the background.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        close_s: float,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._vendor = vendor
        self._close_s = close_s
        self._spawn = spawn

    async def acquire(self, conversation: MotionConversation, _: Priority, /) -> MotionSession:
        """Part of ``MotionPool``."""
        started = asyncio.get_running_loop().time()
        with ExitStack() as undo:
            SESSIONS.inc()
            undo.callback(SESSIONS.dec)
            session = await self._open(conversation)
            undo.pop_all()
        OPENED.inc()
        OPEN_SECONDS.observe(session.opened_at - started)
        return session

    def release(self, session: MotionSession, /) -> None:
        """Part of ``MotionPool``."""
        SESSIONS.dec()
        connected_s = asyncio.get_running_loop().time() - session.opened_at
        CONNECTED_SECONDS.inc(connected_s)
        SESSION_SECONDS.observe(connected_s)
        CREDITS.inc(credits_of(connected_s))
        self._close(session)

    async def _open(self, conversation: MotionConversation) -> MotionSession:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(OPEN_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=1),
            retry=retry_if_exception(_is_retryable),
            reraise=True,
        )
        session: MotionSession = await attempts(self._open_once, conversation)
        return session

    async def _open_once(self, conversation: MotionConversation) -> MotionSession:
        session = MotionSession(self._vendor, conversation)
        with ExitStack() as undo:
            undo.callback(self._close, session)
            await session.open()
            undo.pop_all()
        return session

    def _close(self, session: MotionSession) -> None:
        """Close in the background: a frozen peer delays it by ``close_s``."""
        session.detach()
        self._spawn(session.close(self._close_s))


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, MotionFailed) and error.failure.retryable
