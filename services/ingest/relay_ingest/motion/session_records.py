"""Session records: the outbox gets when each Motion session of a conversation was opened and closed.

``motion.opened`` has the session's id and when it was opened, ``motion.closed`` these, the seconds and the
credits. A session is closed by its owner; when that owner has died, by the next one, as of the last renewal
of its lease (``estimated``). A conversation that nobody owns any more leaves its last session unpaired: that
was closed at the latest when the process of its owner ended.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import msgspec
import structlog
from prometheus_client import Counter

from relay_ingest.turn_boundary import wall_ms
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_streams.leases import Lease
from relay_streams.scripts.call import Call, run
from relay_streams.scripts.record_motion import record_motion
from relay_wire.billing import credits_of

LOST = Counter(
    "relay_motion_records_lost_total",
    "Openings and closings of Motion sessions that the outbox did not get.",
)
MAX_RECORDS = 64
"""Most records of a conversation that wait for Redis; beyond it the oldest are lost, and counted."""

log = structlog.get_logger(__name__)


class SessionRecords:
    """Records the Motion sessions of one conversation, one at a time, in order.

    Args:
        lease: The ownership.
        client: To Redis.
        spawn: Starts a task that the worker owns.
        outbox_entries: Most entries of the outbox; 0: nothing is recorded.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        client: RedisClient,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        outbox_entries: int,
    ) -> None:
        self._lease = lease
        self._client = client
        self._spawn = spawn
        self._outbox_entries = outbox_entries
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Call[bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._session, self._opened_at, self._opened_ms = "", 0.0, 0
        self._former: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Record the end of the former owner's session, if that owner does not do so soon."""
        opened_ms, _, session = self._lease.conversation.motion.partition(" ")
        if self._outbox_entries and opened_ms.isdigit() and int(opened_ms):
            # An owner that hands over is still closing it, and knows its seconds.
            wait_s = self._lease.lease_ms / 1000
            self._former = self._loop.call_later(wait_s, self._close_former, session, int(opened_ms))

    def stop(self) -> None:
        """Leave the former owner's session to the next owner. What waits is still recorded."""
        if self._former is not None:
            self._former.cancel()

    def opened(self, session: str, at: float) -> None:
        """Record a session that was opened at this moment of the loop's clock."""
        self._session, self._opened_at = session, at
        self._opened_ms = wall_ms(at)
        self._record("opened", session, self._opened_ms, {})

    def closed(self) -> None:
        """Record that it is closed now."""
        if self._session:
            seconds = self._loop.time() - self._opened_at
            self._record("closed", self._session, self._opened_ms, _connected(seconds))
            self._session = ""

    async def drained(self) -> None:
        """Wait until everything is recorded. Safe to cancel."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _close_former(self, session: str, opened_ms: int) -> None:
        seconds = max(self._lease.renewed_ms - opened_ms, 0) / 1000
        self._record("closed", session, opened_ms, {**_connected(seconds), "estimated": True})

    def _record(
        self, what: Literal["opened", "closed"], session: str, opened_ms: int, data: dict[str, Any]
    ) -> None:
        if not self._outbox_entries:
            return
        call = record_motion(
            self._lease.keys,
            what,
            generation=self._lease.generation,
            session=session,
            opened_ms=opened_ms,
            data=msgspec.json.encode({"session": session, "opened_ms": opened_ms, **data}),
            outbox_entries=self._outbox_entries,
        )
        if len(self._waiting) == MAX_RECORDS:
            self._waiting.popleft()
            LOST.inc()
        self._waiting.append(call)
        if self._task is None:
            self._task = self._spawn(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._store(self._waiting.popleft())
        finally:
            self._task = None

    async def _store(self, call: Call[bool]) -> None:
        failures = 0
        while True:
            try:
                await run(self._client, call)
            except StoreError as error:
                if not error.retryable:
                    LOST.inc()
                    log.warning(
                        "motion session not recorded", conversation=self._lease.keys.id, error=str(error)
                    )
                    return
                await asyncio.sleep(RECONNECT_WAIT.compute(failures))
                failures += 1
            else:
                return


def _connected(seconds: float) -> dict[str, Any]:
    return {"seconds": round(seconds, 3), "credits": credits_of(seconds)}
