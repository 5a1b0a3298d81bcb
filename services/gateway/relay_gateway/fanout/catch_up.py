"""Catching up: the task that serves one subscriber that is behind, until it is live or has ended.

New viewers, returning viewers and viewers whose connection was congested are one case: a cursor that is not
the feed's. While Redis is unavailable they wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Gauge

from relay_gateway.fanout.feed import REPLAYED, Feed, Step
from relay_gateway.fanout.replay import Replay
from relay_gateway.fanout.subscriber import Subscriber
from relay_redis.errors import StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_streams.keys import ConversationKeys
from relay_wire.close_codes import INTERNAL_ERROR, SLOW_CONSUMER, STORE_UNAVAILABLE

CATCHING_UP = Gauge("relay_gateway_catching_up", "Viewers that are not live.")
FALLEN_BEHIND = Counter(
    "relay_gateway_fallen_behind_total",
    "Times that delivery to a viewer waited for its congested connection.",
)
REPLAY_FAILURES = Counter(
    "relay_gateway_replay_failures_total", "Reads for viewers that are behind that Redis could not serve."
)
DEFECTS = Counter(
    "relay_gateway_defects_total", "Viewers closed because delivery to them raised an exception."
)

log = structlog.get_logger(__name__)


class LaggingSubscriber(NamedTuple):
    """A subscriber that is behind, and the sources of its frames."""

    keys: ConversationKeys
    """The conversation."""
    feed: Feed
    """The conversation's feed."""
    subscriber: Subscriber
    wait_for_progress: Callable[[], Awaitable[None]]
    """Waits until the feed has received more, or has failed."""


def report_defect(conversation: str, feed: Feed, error: Exception) -> None:
    """Count and log a defect in the delivery to one viewer."""
    DEFECTS.inc()
    log.error(
        "delivery to a viewer failed", conversation=conversation, exc_info=error, **feed.meter.log_fields()
    )


class CatchUp:
    """Serves subscribers that are behind; ``run`` is one task per subscriber.

    Args:
        replay: Reads the frames that a feed's ring no longer has.
        slow_s: How long a congested connection may take to drain before it is closed as slow.
        outage_s: How long a subscriber waits for Redis before it is closed.
        replay_bytes: The most bytes of a ring that are written at once.
    """

    def __init__(self, replay: Replay, *, slow_s: float, outage_s: float, replay_bytes: int) -> None:
        self._replay = replay
        self._slow_s = slow_s
        self._outage_s = outage_s
        self._replay_bytes = replay_bytes

    async def run(self, lagging: LaggingSubscriber) -> None:
        """Return when the subscriber is live or has ended. Safe to cancel."""
        subscriber = lagging.subscriber
        CATCHING_UP.inc()
        try:
            while (step := lagging.feed.advance(subscriber, self._replay_bytes)) is not Step.NONE:
                if step is Step.DRAIN:
                    await self._drain(lagging)
                else:
                    await self._read(lagging)
        except ConnectionError:
            pass  # The viewer left; its handler gets the same error.
        except Exception as error:  # noqa: BLE001  # the task's root: one viewer's defect must not stop the others
            report_defect(lagging.keys.id, lagging.feed, error)
            subscriber.end(INTERNAL_ERROR)
        finally:
            CATCHING_UP.dec()
            subscriber.count_resume()

    async def _drain(self, lagging: LaggingSubscriber) -> None:
        FALLEN_BEHIND.inc()
        subscriber = lagging.subscriber
        if not await subscriber.connection.drained(self._slow_s):
            log.info(
                "viewer is too slow",
                conversation=lagging.keys.id,
                unsent=subscriber.unsent_bytes,
                **lagging.feed.meter.log_fields(),
            )
            lagging.feed.meter.interrupt("slow_consumer")
            subscriber.end(SLOW_CONSUMER)

    async def _read(self, lagging: LaggingSubscriber) -> None:
        """Advance by at least one read, and end the subscriber when Redis is away for ``outage_s``."""
        failures = 0
        try:
            async with asyncio.timeout(self._outage_s):
                while not await self._try_read(lagging):
                    await asyncio.sleep(RECONNECT_WAIT.compute(failures))
                    failures += 1
        except TimeoutError:
            log.warning(
                "redis was unavailable for too long",
                conversation=lagging.keys.id,
                **lagging.feed.meter.log_fields(),
            )
            lagging.feed.meter.interrupt("store_unavailable")
            lagging.subscriber.end(STORE_UNAVAILABLE)

    async def _try_read(self, lagging: LaggingSubscriber) -> bool:
        """Read once; False when Redis cannot serve the read now."""
        keys, feed, subscriber, wait_for_progress = lagging
        try:
            match feed.advance(subscriber, self._replay_bytes):
                case Step.FEED:
                    await wait_for_progress()
                case Step.STREAM:
                    page = await self._replay.after(keys, subscriber.cursor, upto=feed.cursor)
                    if page.restart is not None:
                        subscriber.skip(page.restart)
                        feed.meter.miss(page.restart)
                    else:
                        REPLAYED["stream"].value += subscriber.replay(page.frames)
        except StoreError as error:
            log.debug("replay failed", conversation=keys.id, error=str(error))
            REPLAY_FAILURES.inc()
            return False
        return True
