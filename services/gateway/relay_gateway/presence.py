"""Presence: reports to Redis which conversations have viewers here, and to viewers when theirs has no owner.

Both are one small command per conversation and interval. A conversation whose viewers have just come is
asked about again as soon as it can have waited too long for an owner.
"""

import asyncio

import structlog
from prometheus_client import Counter

from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.schedule import Schedule
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_wire import events

NO_OWNERS = Counter("relay_gateway_no_owner_total", "Viewers informed that their conversation has no owner.")
FAILURES = Counter("relay_gateway_presence_failures_total", "Reports of viewers that Redis did not accept.")

NO_OWNER = events.Error("no_owner", "the conversation waits for a worker", retryable=True)

_LOOK_S = 0.5
_TICKS = 4
"""Ticks of the schedule per look at it."""
_CONCURRENCY = 64
"""Most commands under way at once."""

log = structlog.get_logger(__name__)


class _Watched:
    """One conversation with viewers here."""

    __slots__ = ("due", "informed", "keys", "tick", "viewers")

    def __init__(self, keys: ConversationKeys) -> None:
        self.keys = keys
        self.viewers = set[Subscriber]()
        self.informed: set[Subscriber] | None = None
        """Viewers that know that there is no owner; None while there is one."""
        self.due = 0.0
        self.tick = 0
        """Where the schedule has it."""


class Presence:
    """The conversations that are watched here.

    Args:
        client: To Redis.
        interval_s: How often each is asked about.
        patience_s: How long a conversation may wait for an owner before its viewers are informed.
    """

    def __init__(self, client: RedisClient, *, interval_s: float, patience_s: float) -> None:
        self._client = client
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._look_s = min(_LOOK_S, interval_s, patience_s)
        self._watched: dict[str, _Watched] = {}
        self._scheduled = Schedule[_Watched](self._look_s / _TICKS)
        self._now = asyncio.get_running_loop().time

    def add(self, keys: ConversationKeys, viewer: Subscriber) -> None:
        """A viewer watches this conversation until ``remove``."""
        watched, due = self._watched.get(keys.id), self._now() + self._patience_s
        if watched is None:
            watched = self._watched[keys.id] = _Watched(keys)
            self._plan(watched, self._now())
        elif due < watched.due:
            self._scheduled.remove(watched, watched.tick)
            self._plan(watched, due)
        watched.viewers.add(viewer)

    def remove(self, keys: ConversationKeys, viewer: Subscriber) -> None:
        """A viewer that was added is gone."""
        watched = self._watched[keys.id]
        watched.viewers.discard(viewer)
        if watched.informed is not None:
            watched.informed.discard(viewer)
        if not watched.viewers:
            del self._watched[keys.id]
            self._scheduled.remove(watched, watched.tick)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(self._look_s)
            now = self._now()
            while due := self._pop_due(now):
                await asyncio.gather(*map(self._report, due))

    def _pop_due(self, now: float) -> list[_Watched]:
        due: list[_Watched] = []
        while len(due) < _CONCURRENCY and (watched := self._scheduled.pop(now)) is not None:
            due.append(watched)
        return due

    async def _report(self, watched: _Watched) -> None:
        waits_s: float | None = None
        try:
            waits_s = (await conversations.attendance(self._client, watched.keys, watched=True)).waits_s
        except Missing:
            waits_s = self._patience_s  # Redis has lost it: its owner restores it, if there is one.
        except StoreError as error:
            FAILURES.inc()
            log.debug("presence not reported", conversation=watched.keys.id, error=str(error))
        if not watched.viewers:
            return
        if waits_s is None:
            watched.informed = None
            self._plan(watched, self._now() + self._interval_s)
            return
        next_s = min(self._interval_s, max(self._patience_s - waits_s, _LOOK_S))
        self._plan(watched, self._now() + next_s)
        if waits_s >= self._patience_s:
            self._inform(watched)

    def _inform(self, watched: _Watched) -> None:
        """Send the viewers that do not know it yet that there is no owner."""
        for viewer in watched.viewers - (watched.informed or set()):
            NO_OWNERS.inc()
            viewer.send_event(NO_OWNER)
        watched.informed = set(watched.viewers)

    def _plan(self, watched: _Watched, due: float) -> None:
        watched.due = due
        watched.tick = self._scheduled.add(watched, due)
