"""Subscriptions: sharded pub/sub over one connection to one Redis server."""

import asyncio
from collections.abc import Callable

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_runtime.tasks import first_of
from relay_streams.channel import Channel, Reply
from relay_streams.connection import RECONNECT_WAIT, RECONNECTS, Endpoint, use

log = structlog.get_logger(__name__)


class Subscription:
    """The channels wanted of one server. ``run`` keeps them subscribed.

    Args:
        endpoint: Where to connect, asked at each attempt.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
        on_message: Called with the channel and what it says at each message, and with nothing said when its
            subscription stands.
        on_change: Called when the connection came up (``connected``) or was lost.
        on_moved: Called with the channel when the server has ended its subscription; None has it
            subscribed again here.
        on_redirect: Called when another node of the cluster serves a slot's channels; None where
            there is no cluster.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        name: str,
        timeout_s: float,
        ping_s: float,
        on_message: Callable[[bytes, bytes], None],
        on_change: Callable[["Subscription"], None],
        on_moved: Callable[[str], None] | None = None,
        on_redirect: Callable[[exceptions.MovedError], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._on_message = on_message
        self._on_change = on_change
        self._on_moved = on_moved or self.subscribe
        self._on_redirect = on_redirect
        self._wanted: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._heard = False
        """Whether anything came since the last look."""
        self._failures = 0
        self.connected = False

    def subscribe(self, channel: str) -> None:
        """Want a channel; ``on_message`` is called once when the subscription stands."""
        self._wanted.add(channel)
        self._change(channel, wanted=True)

    def unsubscribe(self, channel: str) -> None:
        """Want a channel no more."""
        self._wanted.discard(channel)
        self._change(channel, wanted=False)

    def forget(self, channel: str) -> None:
        """Want a channel no more, and do not say so: the server does not have it."""
        self._wanted.discard(channel)
        self._changes.pop(channel, None)

    def _change(self, channel: str, *, wanted: bool) -> None:
        self._changes[channel] = wanted
        self._changed.set()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            try:
                await use(self._endpoint, self._serve, name=self._name, timeout_s=self._timeout_s)
            except (exceptions.RedisError, OSError) as error:
                RECONNECTS.labels(self._name).inc()
                log.warning("redis connection lost", link=self._name, error=str(error) or repr(error))
            finally:
                self.connected = False
                self._on_change(self)
            await asyncio.sleep(RECONNECT_WAIT.compute(self._failures))
            self._failures += 1

    async def _serve(self, connection: Connection) -> None:
        channel = Channel(connection, self._received, self._changed.set)
        self.connected = True
        self._on_change(self)
        self._changes = dict.fromkeys(self._wanted, True)
        self._changed.set()
        await first_of(lost=channel.lost(), send=self._send(channel))

    async def _send(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._changed.wait()
            except TimeoutError:
                if self._heard:
                    heard_at, self._heard = loop.time(), False
                elif loop.time() - heard_at > self._ping_s + self._timeout_s:
                    raise exceptions.TimeoutError("no answer to ping") from None
                channel.write([("PING",)])
                continue
            self._changed.clear()
            if channel.full:
                continue
            changes, self._changes = self._changes, {}
            channel.write(
                ("SSUBSCRIBE" if wanted else "SUNSUBSCRIBE", name) for name, wanted in changes.items()
            )

    def _received(self, reply: Reply) -> None:
        if isinstance(reply, Exception):
            if self._on_redirect is None or not isinstance(reply, exceptions.MovedError):
                raise reply
            self._on_redirect(reply)
            return
        self._heard = True
        kind, name = reply[0], reply[1]
        if kind == b"smessage":
            self._on_message(name, reply[2])
            return
        self._failures = 0
        if kind == b"ssubscribe":
            self._on_message(name, b"")
        elif kind == b"sunsubscribe" and name.decode() in self._wanted:
            self.forget(name.decode())
            self._on_moved(name.decode())
