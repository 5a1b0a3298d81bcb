"""Feeds: one per conversation with viewers here. A feed knows streams, but no sockets.

It reads the down stream once for all its subscribers, hands the live ones the same bytes, and keeps
a short ring of recent frames for those who are a little behind.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge

from relay_gateway.fanout.batch import Batch, SharedFrame, shared_frame_of
from relay_gateway.fanout.ring import Ring
from relay_streams.consumer import Entry, StreamConsumer
from relay_streams.keys import ConversationKeys
from relay_telemetry.fast_counter import FastCounter
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED, INTERNAL_ERROR, CloseCode
from relay_wire.position import Position

FEEDS = Gauge("relay_gateway_feeds", "Conversations read by this gateway.")
FRAMES = FastCounter("relay_gateway_frames_total", "Frames read from streams.")
DELIVERIES = FastCounter("relay_gateway_deliveries_total", "Frames written to live viewers.")
BREAKS = Counter("relay_gateway_breaks_total", "Times a stream did not continue where it was read last.")
DEFECTS = Counter("relay_gateway_defects_total", "Viewers closed because of a defect here.")

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """What a feed needs of a subscriber."""

    cursor: Position
    """The last frame it has."""

    def offer(self, batch: Batch) -> bool:
        """Take what follows the cursor; False when it falls behind."""

    def fall_behind(self) -> None:
        """Read on alone until ``Feed.join`` succeeds."""

    def end(self, code: CloseCode) -> None:
        """Close, since nothing more will come."""


class Feed:
    """One conversation's frames, from a position on."""

    def __init__(
        self,
        keys: ConversationKeys,
        cursor: Position,
        consumer: StreamConsumer,
        *,
        ended: bool,
        ring_bytes: int,
        on_failure: Callable[["Feed"], None],
    ) -> None:
        self.keys = keys
        self.cursor = cursor
        """The last frame read."""
        self.ring = Ring(ring_bytes, cursor)
        self.users = 0
        """Subscribers attached, live or not."""
        self._ended = ended
        self._failed = False
        self._closed = False
        self._moved: asyncio.Future[None] | None = None
        self._live: set[Listener] = set()
        self._on_failure = on_failure
        self._following = consumer.follow(keys.down, keys.partition, str(cursor), self._deliver, self._fail)
        FEEDS.inc()

    def join(self, listener: Listener) -> bool:
        """Make a subscriber live if it has everything this feed has read; end it if there will be no more."""
        if self._failed:
            listener.end(INTERNAL_ERROR)
            return True
        if listener.cursor != self.cursor:
            return False
        if self._ended:
            listener.end(CONVERSATION_ENDED)
        else:
            self._live.add(listener)
        return True

    async def moved(self) -> None:
        """Wait until more was read. Safe to cancel."""
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._moved)

    def leave(self, listener: Listener) -> None:
        """Hand this subscriber nothing more."""
        self._live.discard(listener)

    def close(self) -> None:
        """Read no more. Safe to call again."""
        if not self._closed:
            self._closed = True
            self._following.close()
            self.ring.restart(self.cursor)
            FEEDS.dec()

    def _deliver(self, entries: Sequence[Entry]) -> None:
        following: list[SharedFrame] = []
        cursor = start = self.cursor
        for entry_id, fields in entries:
            delivery = shared_frame_of(entry_id, fields)
            if delivery is None:
                continue
            position = delivery.position
            event = events.of_frame(delivery.data)
            if not events.follows(cursor, position, event):
                # What was read so far goes out; everybody reads on alone and is told of the gap.
                self.cursor = cursor
                self._fan_out(following, start)
                following = []
                self._break(position)
                start = self.cursor
            following.append(delivery)
            self.ring.append(delivery)
            cursor = position
            if isinstance(event, events.ConversationEnded):
                self._ended = True
        self.cursor = cursor
        FRAMES.value += len(entries)
        self._fan_out(following, start)
        if self._moved is not None:
            self._wake()
        if self._ended:
            for listener in list(self._live):
                self._live.discard(listener)
                listener.end(CONVERSATION_ENDED)

    def _fan_out(self, following: list[SharedFrame], start: Position) -> None:
        if not following:
            return
        batch = Batch(following)
        delivered = 0
        for listener in list(self._live):
            try:
                taken = listener.cursor == start and listener.offer(batch)
            except Exception:  # one viewer's defect must not stop the others
                DEFECTS.inc()
                log.exception("a viewer could not be written to", conversation=self.keys.id)
                self._live.discard(listener)
                listener.end(INTERNAL_ERROR)
                continue
            if taken:
                delivered += len(following)
            else:
                self._live.discard(listener)
                listener.fall_behind()
        DELIVERIES.value += delivered

    def _break(self, position: Position) -> None:
        BREAKS.inc()
        log.warning(
            "frames are missing", conversation=self.keys.id, after=str(self.cursor), next=str(position)
        )
        self.cursor = position.before
        self.ring.restart(self.cursor)

    def _wake(self) -> None:
        if self._moved is not None:
            self._moved.set_result(None)
            self._moved = None

    def _fail(self, _error: Exception) -> None:
        self._failed = True
        self._on_failure(self)
        self._wake()
        for listener in list(self._live):
            listener.end(INTERNAL_ERROR)
        self._live.clear()


class Feeds:
    """All feeds of a gateway.

    Args:
        consumer: Reads the streams.
        ring_bytes: Bound of each feed's ring.
        linger_s: How long a feed outlives its last subscriber: a reconnect finds it warm.
    """

    def __init__(self, consumer: StreamConsumer, *, ring_bytes: int, linger_s: float) -> None:
        self._consumer = consumer
        self._ring_bytes = ring_bytes
        self._linger_s = linger_s
        self._feeds: dict[str, Feed] = {}

    def attach(self, keys: ConversationKeys, tail: Position, *, ended: bool) -> Feed:
        """The conversation's feed, begun at ``tail`` if there is none yet; pair with ``detach``."""
        feed = self._feeds.get(keys.id)
        if feed is None:
            feed = Feed(
                keys, tail, self._consumer, ended=ended, ring_bytes=self._ring_bytes, on_failure=self._drop
            )
            self._feeds[keys.id] = feed
        feed.users += 1
        return feed

    def detach(self, feed: Feed) -> None:
        """A subscriber is gone."""
        feed.users -= 1
        if not feed.users:
            asyncio.get_running_loop().call_later(self._linger_s, self._close_unused, feed)

    def close(self) -> None:
        """Close every feed."""
        for feed in list(self._feeds.values()):
            self._drop(feed)

    def _close_unused(self, feed: Feed) -> None:
        if not feed.users:
            self._drop(feed)

    def _drop(self, feed: Feed) -> None:
        feed.close()
        if self._feeds.get(feed.keys.id) is feed:
            del self._feeds[feed.keys.id]
