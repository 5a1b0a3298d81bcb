"""Subscribers: one per viewer. A subscriber knows one socket, and the stream only through readers.

A subscriber is live, or it is catching up. New viewers and those whose socket is full catch up: they
read on by themselves, from the feed's ring or the stream, as fast as their socket takes it, and join
the live ones when they have everything the feed has. So nothing is ever queued for a viewer beyond
its socket's buffer. While Redis is away they wait for it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from relay_gateway.dialects.dialect import Dialect
from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.feed import DEFECTS, Feed
from relay_gateway.fanout.replay import Replay
from relay_gateway.socket import Socket
from relay_redis.errors import StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_telemetry.fast_counter import FastCounters
from relay_wire import events
from relay_wire.close_codes import INTERNAL_ERROR, NORMAL, SLOW_CONSUMER, STORE_UNAVAILABLE, CloseCode
from relay_wire.position import Position

CATCHING_UP = Gauge("relay_gateway_catching_up", "Viewers that are not live.")
FALLEN_BEHIND = Counter("relay_gateway_fallen_behind_total", "Times a live viewer's socket was full.")
REPLAYED = FastCounters(
    "relay_gateway_replayed_frames_total",
    "Frames sent to viewers that caught up.",
    "source",
    ("ring", "stream"),
)
REPLAY_FAILURES = Counter(
    "relay_gateway_replay_failures_total", "Reads for viewers that are behind that the store could not serve."
)
GAPS = Counter("relay_gateway_gaps_total", "Times a viewer was told that frames are gone.")

log = structlog.get_logger(__name__)


class Subscriber:
    """One viewer of one conversation.

    Args:
        socket: Its socket.
        dialect: Its protocol.
        feed: Its conversation's feed.
        history: Reads what the feed's ring does not reach.
        cursor: The frame before the first it wants.
        slow_s: How long its socket may take to drain before it is closed as slow.
        patience_s: How long it waits for what the store cannot give now.
        replay_bytes: Most that is sent of the ring at once.
        spawn: Starts a task that the gateway owns.
    """

    def __init__(
        self,
        socket: Socket,
        dialect: Dialect,
        feed: Feed,
        history: Replay,
        cursor: Position,
        *,
        slow_s: float,
        patience_s: float,
        replay_bytes: int,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.cursor = cursor
        self._socket = socket
        self._dialect = dialect
        self._feed = feed
        self._history = history
        self._slow_s = slow_s
        self._patience_s = patience_s
        self._replay_bytes = replay_bytes
        self._spawn = spawn
        self._catching_up: asyncio.Task[None] | None = None
        self._done = False

    @property
    def unsent_bytes(self) -> int:
        """What waits in its socket's buffer."""
        return self._socket.unsent_bytes

    def start(self) -> None:
        """Begin to receive."""
        if not self._feed.join(self):
            self.fall_behind()

    def stop(self) -> None:
        """The viewer is gone: receive no more, wait for nothing."""
        self._retire()
        if self._catching_up is not None:
            self._catching_up.cancel()

    def say(self, event: events.GatewayEvent) -> None:
        """Send an event of the gateway's own, between frames."""
        if self._active:
            self._socket.write(self._dialect.event(event, self.cursor))

    # --- what the feed calls -------------------------------------------------------------------

    def offer(self, batch: Batch) -> bool:
        """Take what follows the cursor, unless the socket is full."""
        if self._socket.congested:
            return False
        self._socket.write(self._dialect.frames(batch))
        self.cursor = batch.end
        if self._dialect.over:
            self.end(NORMAL)
        return True

    def fall_behind(self) -> None:
        """Read on alone."""
        if not self._done:
            self._catching_up = self._spawn(self._catch_up())

    def end(self, code: CloseCode) -> None:
        """Close: nothing more will come."""
        if not self._done:
            self._retire()
            self._socket.close(code)

    def _retire(self) -> None:
        self._done = True
        self._feed.leave(self)

    # --- catching up ---------------------------------------------------------------------------

    @property
    def _active(self) -> bool:
        return not self._done and self._socket.open

    async def _catch_up(self) -> None:
        CATCHING_UP.inc()
        try:
            while self._active:
                if self._socket.congested:
                    await self._drain()
                elif self._feed.join(self):
                    return
                else:
                    await self._read_on()
        except ConnectionError:
            pass  # The viewer left; its handler sees that, too.
        except Exception:  # the task's root: one viewer's defect must not stop the others
            DEFECTS.inc()
            log.exception("a subscriber failed", conversation=self._feed.keys.id)
            self.end(INTERNAL_ERROR)
        finally:
            CATCHING_UP.dec()

    async def _drain(self) -> None:
        """Wait for room in the socket; a viewer that makes none in time is closed."""
        FALLEN_BEHIND.inc()
        if not await self._socket.drained(self._slow_s):
            log.info("viewer is too slow", conversation=self._feed.keys.id, unsent=self._socket.unsent_bytes)
            self.end(SLOW_CONSUMER)

    async def _read_on(self) -> None:
        """Get one step further, be it only after the store is back."""
        failures = 0
        try:
            async with asyncio.timeout(self._patience_s):
                while not await self._step():
                    await asyncio.sleep(RECONNECT_WAIT.compute(failures))
                    failures += 1
        except TimeoutError:
            log.warning("the store was away for too long", conversation=self._feed.keys.id)
            self.end(STORE_UNAVAILABLE)

    async def _step(self) -> bool:
        """Take what there is; False when the store cannot give it now."""
        try:
            if self.cursor > self._feed.cursor:
                # The viewer has more than the feed has read: the feed goes first, that nothing comes twice.
                await self._feed.moved()
            else:
                await self._replay()
        except StoreError as error:
            log.debug("cannot replay", conversation=self._feed.keys.id, error=str(error))
            REPLAY_FAILURES.inc()
            return False
        return True

    async def _replay(self) -> None:
        """Send one batch of what comes after the cursor, or say that it is gone."""
        recent = self._feed.ring.after(self.cursor, self._replay_bytes)
        if recent is not None:
            if self.offer(recent):
                REPLAYED["ring"].value += len(recent)
            return
        past = await self._history.after(self._feed.keys, self.cursor, upto=self._feed.cursor)
        if not self._active:
            return
        if past.restart is not None:
            GAPS.inc()
            self.say(events.Gap(str(self.cursor), str(past.restart)))
            self.cursor = past.restart
            return
        for data in past.frames:
            if not self.offer(Batch([SharedFrame(data)])):
                return  # The rest is read again when there is room: memory is bounded by one frame.
            REPLAYED["stream"].value += 1
