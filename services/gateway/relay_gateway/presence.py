"""Presence: reports to Redis which conversations have viewers here, and to viewers when theirs has no owner.

Both are one small command per conversation and interval. After a viewer has come, the next report of its
conversation is due when it can have waited too long for an owner. With jobs a report also has the time of the
viewers since the last, and the last report follows the last viewer.
"""

import asyncio

import structlog
from prometheus_client import Counter

from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.schedule import Schedule
from relay_gateway.viewer_time import ViewerTime
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_wire import events

NO_OWNERS = Counter("relay_gateway_no_owner_total", "Viewers informed that their conversation has no owner.")
FAILURES = Counter("relay_gateway_presence_failures_total", "Reports of viewers that Redis did not accept.")

TIME_LOST = Counter(
    "relay_gateway_viewer_time_lost_total",
    "Conversations whose last viewers' time could not be stored for jobs.",
)

NO_OWNER = events.Error("no_owner", "the conversation waits for a worker", retryable=True)

_POLL_S = 0.5
_TICKS_PER_POLL = 4
"""Resolution of the schedule: ticks between two polls of it."""
_CONCURRENCY = 64
"""The most commands in flight at once."""
_MAX_LEFT = 10_000
"""Most conversations without viewers whose last report Redis has not accepted; further ones are lost."""

log = structlog.get_logger(__name__)


class _Watched:
    """One conversation with viewers here."""

    __slots__ = ("due", "informed", "keys", "tick", "time", "viewers")

    def __init__(self, keys: ConversationKeys, now: float) -> None:
        self.keys = keys
        self.viewers = set[Subscriber]()
        self.time = ViewerTime(now)
        self.informed: set[Subscriber] | None = None
        """Viewers that were informed that there is no owner; None while there is one."""
        self.due = 0.0
        self.tick = 0
        """Its tick in the schedule."""


class Presence:
    """The conversations that are watched here.

    Args:
        client: To Redis.
        interval_s: How often each is reported.
        owner_wait_s: How long a conversation may wait for an owner before its viewers are informed.
        outbox_entries: Most entries of the outbox; 0: the time of viewers is not reported.
    """

    def __init__(
        self, client: RedisClient, *, interval_s: float, owner_wait_s: float, outbox_entries: int = 0
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._owner_wait_s = owner_wait_s
        self._poll_s = min(_POLL_S, interval_s, owner_wait_s)
        self._outbox_entries = outbox_entries
        self._watched: dict[str, _Watched] = {}
        self._left: set[_Watched] = set()
        """Without viewers, and with time that is not reported."""
        self._scheduled = Schedule[_Watched](self._poll_s / _TICKS_PER_POLL)
        self._now = asyncio.get_running_loop().time

    def add(self, keys: ConversationKeys, viewer: Subscriber) -> None:
        """Report that a viewer watches this conversation, until ``remove``."""
        watched, due = self._watched.get(keys.id), self._now() + self._owner_wait_s
        if watched is None:
            watched = self._watched[keys.id] = _Watched(keys, self._now())
            self._plan(watched, self._now())
        elif due < watched.due:
            self._scheduled.remove(watched, watched.tick)
            self._plan(watched, due)
        watched.viewers.add(viewer)
        watched.time.change(len(watched.viewers), self._now())

    def remove(self, keys: ConversationKeys, viewer: Subscriber) -> None:
        """Report a viewer that was added no more."""
        watched = self._watched[keys.id]
        watched.viewers.discard(viewer)
        watched.time.change(len(watched.viewers), self._now())
        if watched.informed is not None:
            watched.informed.discard(viewer)
        if not watched.viewers:
            del self._watched[keys.id]
            self._scheduled.remove(watched, watched.tick)
            self._leave(watched)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            now = self._now()
            while due := self._pop_due(now):
                await asyncio.gather(*map(self._report, due))

    async def flush(self) -> None:
        """Report the time of viewers that have left, once. Safe to cancel."""
        left = list(self._left)
        for watched in left:
            self._scheduled.remove(watched, watched.tick)
        for start in range(0, len(left), _CONCURRENCY):
            await asyncio.gather(*map(self._report, left[start : start + _CONCURRENCY]))

    def _pop_due(self, now: float) -> list[_Watched]:
        due: list[_Watched] = []
        while len(due) < _CONCURRENCY and (watched := self._scheduled.pop(now)) is not None:
            due.append(watched)
        return due

    async def _report(self, watched: _Watched) -> None:
        waits_s: float | None = None
        self._left.discard(watched)
        watched_ms = watched.time.collect(self._now()) if self._outbox_entries else 0
        try:
            attendance = await conversations.attendance(
                self._client,
                watched.keys,
                watched=bool(watched.viewers),
                watched_ms=watched_ms,
                outbox_entries=self._outbox_entries,
            )
            waits_s = attendance.waits_s
        except Missing:
            waits_s = self._owner_wait_s  # Redis has lost it: its owner restores it, if there is one.
        except StoreError as error:
            FAILURES.inc()
            log.debug("presence not reported", conversation=watched.keys.id, error=str(error))
            watched.time.put_back(watched_ms)
            if not watched.viewers:
                self._leave(watched, after_s=self._interval_s)
        if not watched.viewers:
            return
        if waits_s is None:
            watched.informed = None
            self._plan(watched, self._now() + self._interval_s)
            return
        next_s = min(self._interval_s, max(self._owner_wait_s - waits_s, _POLL_S))
        self._plan(watched, self._now() + next_s)
        if waits_s >= self._owner_wait_s:
            self._inform(watched)

    def _leave(self, watched: _Watched, after_s: float = 0.0) -> None:
        """Plan the last report of a conversation without viewers."""
        if not self._outbox_entries or watched in self._left:
            return
        if len(self._left) >= _MAX_LEFT:
            TIME_LOST.inc()
            return
        self._left.add(watched)
        self._plan(watched, self._now() + after_s)

    def _inform(self, watched: _Watched) -> None:
        """Send ``no_owner`` to the viewers that have not received it yet."""
        for viewer in watched.viewers - (watched.informed or set()):
            NO_OWNERS.inc()
            viewer.send_event(NO_OWNER)
        watched.informed = set(watched.viewers)

    def _plan(self, watched: _Watched, due: float) -> None:
        watched.due = due
        watched.tick = self._scheduled.add(watched, due)
