"""Presence: owners are told that a conversation has viewers, and its viewers when it has no owner.

Both are one small command per conversation and ``every_s``; viewers that have just come are waited for no
longer than ``patience_s``.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Counter

from relay_gateway.fanout.subscriber import Subscriber
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_wire import events

TOLD = Counter("relay_gateway_no_owner_total", "Viewers told that their conversation has no owner.")
FAILURES = Counter("relay_gateway_presence_failures_total", "Reports of viewers Redis did not take.")

NO_OWNER = events.Error("no_owner", "the conversation waits for a worker", retryable=True)

_LOOK_S = 0.5
_AT_ONCE = 64
"""Most commands under way."""

log = structlog.get_logger(__name__)


class _Watched:
    """One conversation with viewers here."""

    def __init__(self, keys: ConversationKeys) -> None:
        self.keys = keys
        self.due = 0.0
        self.subscribers: set[Subscriber] = set()
        self.told: set[Subscriber] = set()


class Presence:
    """The conversations that are watched here.

    Args:
        client: To Redis.
        every_s: How often each is asked about.
        patience_s: How long one may wait for an owner before its viewers are told.
    """

    def __init__(self, client: RedisClient, *, every_s: float, patience_s: float) -> None:
        self._client = client
        self._every_s = every_s
        self._patience_s = patience_s
        self._watched: dict[str, _Watched] = {}
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def of(self, keys: ConversationKeys, subscriber: Subscriber) -> Iterator[None]:
        """A viewer watches this conversation while the block runs."""
        watched = self._watched.setdefault(keys.id, _Watched(keys))
        if not watched.subscribers:
            watched.due = 0.0
        watched.subscribers.add(subscriber)
        watched.due = min(watched.due, self._loop.time() + self._patience_s)
        try:
            yield
        finally:
            watched.subscribers.discard(subscriber)
            watched.told.discard(subscriber)
            if not watched.subscribers:
                self._watched.pop(keys.id, None)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_S, self._every_s, self._patience_s))
            now = self._loop.time()
            due = [watched for watched in self._watched.values() if watched.due <= now]
            for start in range(0, len(due), _AT_ONCE):
                await asyncio.gather(*map(self._attend, due[start : start + _AT_ONCE]))

    async def _attend(self, watched: _Watched) -> None:
        waits_s: float | None = None
        try:
            waits_s = (await conversations.attendance(self._client, watched.keys, watched=True)).waits_s
        except Missing:
            waits_s = self._patience_s  # Redis has lost it: its owner restores it, if there is one.
        except StoreError as error:
            FAILURES.inc()
            log.debug("presence was not taken", conversation=watched.keys.id, error=str(error))
        if waits_s is None:
            watched.told.clear()
            watched.due = self._loop.time() + self._every_s
            return
        watched.due = self._loop.time() + min(self._every_s, max(self._patience_s - waits_s, _LOOK_S))
        if waits_s >= self._patience_s:
            for subscriber in watched.subscribers - watched.told:
                TOLD.inc()
                subscriber.say(NO_OWNER)
            watched.told |= watched.subscribers
