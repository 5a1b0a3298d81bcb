"""Pub/sub connections: sharded pub/sub over one connection to one Redis server."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.endpoint import Endpoint
from relay_redis.metrics import REFUSALS
from relay_redis.reconnect import keep_open
from relay_redis.refusals import RECONNECT_ON, Refusal
from relay_redis.transport import Reply, RespTransport, pack
from relay_runtime.tasks import first_of

log = structlog.get_logger(__name__)


OnMessage = Callable[[bytes, bytes], None]


class PubSubConnection:
    """The channels subscribed at one server. ``run`` keeps them subscribed.

    Args:
        endpoint: Where to connect, resolved at each attempt.
        name: Of the client, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
        on_message: Called with the channel and the payload of each message, and with an empty payload when
            its subscription is established.
        callbacks: Called instead, by channel.
        on_change: Called when the connection opened (``connected``) or ended.
        on_moved: Called with the channel when the server has ended its subscription; None subscribes to it
            here again.
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
        on_message: OnMessage,
        callbacks: Mapping[bytes, OnMessage],
        on_change: Callable[["PubSubConnection"], None],
        on_moved: Callable[[str], None] | None = None,
        on_redirect: Callable[[Refusal], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._on_message = on_message
        self._callbacks = callbacks
        self._on_change = on_change
        self._on_moved = on_moved or self.subscribe
        self._on_redirect = on_redirect
        self._channels: set[str] = set()
        self._pending: dict[str, bool] = {}
        """Changes to send, by channel: True subscribes."""
        self._writable = asyncio.Event()
        """Set when there may be something to send, and room for it."""
        self._received = False
        """Whether any reply arrived since the last probe."""
        self._expected: deque[tuple[bytes, bytes]] = deque()
        """The replies that are due, in order: their kind and channel."""
        self._transport: RespTransport | None = None
        self.useful = False
        """Whether this connection has established a subscription."""
        self.connected = False
        self.refusal: Refusal | None = None
        """Why the server refuses subscriptions; None when it does not."""

    @property
    def idle(self) -> bool:
        """Whether no channel is subscribed here."""
        return not self._channels

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel; ``on_message`` is called once when the subscription is established.

        Raises:
            Unencodable: The name has no UTF-8 form.
        """
        pack(("SSUBSCRIBE", channel))
        self._channels.add(channel)
        self._change(channel, subscribed=True)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        self._channels.discard(channel)
        self._change(channel, subscribed=False)

    def discard(self, channel: str) -> None:
        """Remove a channel without SUNSUBSCRIBE: the server does not serve it."""
        self._channels.discard(channel)
        self._pending.pop(channel, None)

    def _change(self, channel: str, *, subscribed: bool) -> None:
        self._pending[channel] = subscribed
        self._writable.set()

    def reconnect(self) -> None:
        """Close the connection, and open another."""
        if self._transport is not None:
            self._transport.fail(exceptions.ConnectionError("reconnect requested"))

    # --- the connection ------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection open, until cancelled."""
        await keep_open(self._endpoint, self, name=self._name, timeout_s=self._timeout_s)

    async def serve(self, connection: Connection) -> None:
        """Part of ``ConnectionHandler``."""
        self._transport = transport = RespTransport(connection, self._on_reply, self._writable.set)
        self._expected.clear()
        self.connected = True
        self._on_change(self)
        self._pending = dict.fromkeys(self._channels, True)
        self._writable.set()
        await first_of(closed=transport.wait_closed(), send=self._send(transport))

    def on_disconnect(self, reason: str) -> None:  # noqa: ARG002  # messages say why, not this
        """Part of ``ConnectionHandler``."""
        self.connected = False
        self._transport = None
        self._on_change(self)

    async def _send(self, transport: RespTransport) -> None:
        loop = asyncio.get_running_loop()
        received_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._writable.wait()
            except TimeoutError:
                if self._received:
                    received_at, self._received = loop.time(), False
                elif loop.time() - received_at > self._ping_s + self._timeout_s:
                    raise exceptions.TimeoutError("no answer to ping") from None
                self._expected.append(_PONG)
                transport.write([pack(("PING",))])
                self._retry_refused()
                continue
            self._writable.clear()
            if not transport.paused:
                self._send_pending(transport)

    def _send_pending(self, transport: RespTransport) -> None:
        pending, self._pending = self._pending, {}
        batch: list[bytes] = []
        for channel, subscribed in pending.items():
            batch.append(pack(("SSUBSCRIBE" if subscribed else "SUNSUBSCRIBE", channel)))
            self._expected.append((_SUBSCRIBED if subscribed else _UNSUBSCRIBED, channel.encode()))
        transport.write(batch)

    def _retry_refused(self) -> None:
        """Subscribe to one channel at a server that refused; its success subscribes to all of them."""
        if self.refusal and self._channels:
            self.subscribe(next(iter(self._channels)))

    # --- replies -------------------------------------------------------------------------------

    def _on_reply(self, reply: Reply) -> None:
        self._received = True
        kind, channel = b"", b""
        if type(reply) is list and len(reply) == 3 and type(reply[0]) is type(reply[1]) is bytes:
            kind, channel, payload = reply
            if kind == b"smessage" and type(payload) is bytes:
                self._callbacks.get(channel, self._on_message)(channel, payload)
                return
            if kind == _UNSUBSCRIBED and not self._is_expected(_UNSUBSCRIBED, channel):
                self._on_unsubscribed(channel.decode())
                return
        elif reply in _PONGS:
            kind, channel = _PONG
        if type(reply) is Refusal and self._expected:
            self._expected.popleft()
            self._on_refusal(reply)
        elif not self._is_expected(kind, channel):
            raise exceptions.InvalidResponse("a reply without a command, on a pub/sub connection")
        else:
            self._expected.popleft()
            if kind == _SUBSCRIBED:
                self._on_subscribed(channel)

    def _is_expected(self, kind: bytes, channel: bytes) -> bool:
        return bool(self._expected) and self._expected[0] == (kind, channel)

    def _on_subscribed(self, channel: bytes) -> None:
        self.useful = True
        if self.refusal:
            self.refusal = None
            self._pending = dict.fromkeys(self._channels, True) | self._pending
            self._writable.set()
        self._callbacks.get(channel, self._on_message)(channel, b"")

    def _on_unsubscribed(self, channel: str) -> None:
        """The server has ended a subscription: its slot moves to another node."""
        if channel in self._channels:
            self.discard(channel)
            self._on_moved(channel)

    def _on_refusal(self, refusal: Refusal) -> None:
        if refusal.redirects and self._on_redirect is not None:
            self._on_redirect(refusal)
            return
        if refusal.reason in RECONNECT_ON:
            raise exceptions.ConnectionError(refusal.words)
        REFUSALS.labels(self._name, refusal.reason).inc()
        if not self.refusal:
            log.warning("redis refuses subscriptions", client=self._name, error=refusal.words)
        self.refusal = refusal


_SUBSCRIBED, _UNSUBSCRIBED = b"ssubscribe", b"sunsubscribe"
_PONG = (b"pong", b"")
_PONGS = (b"PONG", [b"pong", b""])
"""The replies to PING, before the first subscription and after it."""
