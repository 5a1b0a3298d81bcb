"""Feed readers: the stream of one conversation, read into its feed, and the tasks of its subscribers."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from relay_gateway.fanout.catch_up import CatchUp, LaggingSubscriber, report_defect
from relay_gateway.fanout.entries import Entry
from relay_gateway.fanout.feed import Break, Effect, Feed, FellBehind, Joined
from relay_gateway.fanout.subscriber import Subscriber
from relay_gateway.fanout.write_times import WriteTimes
from relay_gateway.flush import WriteCoalescer
from relay_streams.consumer import StreamConsumer, StreamSubscription
from relay_streams.keys import ConversationKeys

FEEDS = Gauge("relay_gateway_feeds", "Conversations read by this gateway.")
BREAKS = Counter(
    "relay_gateway_breaks_total", "Times a stream did not continue at the frame after the last one read."
)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

log = structlog.get_logger(__name__)


class FeedReader:
    """One conversation with viewers at this gateway.

    Args:
        keys: The conversation.
        feed: Receives its frames.
        catch_up: Serves subscribers that are behind.
        spawn: Starts a task that the gateway owns.
        coalescer: Flushes the sockets.
        on_failure: Called when the stream cannot be read any further.
    """

    def __init__(
        self,
        keys: ConversationKeys,
        feed: Feed,
        catch_up: CatchUp,
        *,
        spawn: Spawn,
        coalescer: WriteCoalescer,
        on_failure: Callable[["FeedReader"], None],
    ) -> None:
        self.keys = keys
        self.feed = feed
        self.users = 0
        """Viewers attached, live or behind."""
        self._catch_up = catch_up
        self._spawn = spawn
        self._on_failure = on_failure
        self._write_times = WriteTimes(keys, feed.meter, coalescer)
        self._subscription: StreamSubscription | None = None
        self._tasks: dict[Subscriber, asyncio.Task[None]] = {}
        self._progress: asyncio.Future[None] | None = None

    def start(self, consumer: StreamConsumer) -> None:
        """Begin to read after the feed's cursor."""
        keys, cursor = self.keys, str(self.feed.cursor)
        self._subscription = consumer.subscribe(keys.down, keys.partition, cursor, self._receive, self._fail)
        FEEDS.inc()

    def close(self) -> None:
        """Stop reading, and free the ring. Calls after the first have no effect."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
            self._write_times.close()
            self.feed.ring.restart(self.feed.cursor)
            FEEDS.dec()

    def add(self, subscriber: Subscriber) -> None:
        """Begin to deliver to a subscriber, from its cursor on; pair with ``remove``."""
        if self.feed.join(subscriber) is Joined.BEHIND:
            self._start_catch_up(subscriber)
        else:
            subscriber.count_resume()

    def remove(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to a subscriber whose viewer has left, and cancel its task."""
        subscriber.abandon()
        self.feed.leave(subscriber)
        task = self._tasks.pop(subscriber, None)
        if task is not None:
            task.cancel()

    def _receive(self, entries: Sequence[Entry]) -> None:
        for effect in self.feed.receive(entries):
            self._perform(effect)
        self._write_times.schedule()
        if self._progress is not None:
            self._signal_progress()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, FellBehind):
            self._start_catch_up(effect.subscriber)
        elif isinstance(effect, Break):
            BREAKS.inc()
            log.warning(
                "frames are missing",
                conversation=self.keys.id,
                after=str(effect.cursor),
                next=str(effect.next),
                **self.feed.meter.log_fields(),
            )
        else:
            report_defect(self.keys.id, self.feed, effect.error)

    def _start_catch_up(self, subscriber: Subscriber) -> None:
        lagging = LaggingSubscriber(self.keys, self.feed, subscriber, self._wait_for_progress)
        self._tasks[subscriber] = self._spawn(self._catch_up.run(lagging))

    async def _wait_for_progress(self) -> None:
        """Wait until the feed has received more, or has failed. Safe to cancel."""
        if self._progress is None:
            self._progress = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._progress)

    def _signal_progress(self) -> None:
        if self._progress is not None:
            self._progress.set_result(None)
            self._progress = None

    def _fail(self, _error: Exception) -> None:
        self.feed.fail()
        self._on_failure(self)
        self._signal_progress()
