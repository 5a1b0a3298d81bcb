"""Subscriptions: sharded pub/sub over one connection to one Redis server."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.connection import RECONNECT_WAIT, REFUSALS, Endpoint, Losses, use
from relay_redis.refusals import LEAVE, Refusal
from relay_redis.transport import Reply, RespTransport, pack
from relay_runtime.tasks import first_of

log = structlog.get_logger(__name__)


OnMessage = Callable[[bytes, bytes], None]


class PubSubConnection:
    """The channels wanted of one server. ``run`` keeps them subscribed.

    Args:
        endpoint: Where to connect, asked at each attempt.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
        on_message: Called with the channel and what it says at each message, and with nothing said when its
            subscription stands.
        others: Whom to call instead, by channel.
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
        on_message: OnMessage,
        others: Mapping[bytes, OnMessage],
        on_change: Callable[["PubSubConnection"], None],
        on_moved: Callable[[str], None] | None = None,
        on_redirect: Callable[[Refusal], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._on_message = on_message
        self._others = others
        self._on_change = on_change
        self._on_moved = on_moved or self.subscribe
        self._on_redirect = on_redirect
        self._wanted: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._heard = False
        """Whether anything came since the last look."""
        self._asked: deque[tuple[bytes, bytes]] = deque()
        """What is to be answered, in order: kind and channel, as the answers name them."""
        self._dropped = asyncio.Event()
        self._failures = 0
        self._losses = Losses(name)
        self.connected = False
        self.refused: Refusal | None = None
        """Why the server lets us subscribe to nothing; None when it does."""

    def subscribe(self, channel: str) -> None:
        """Want a channel; ``on_message`` is called once when the subscription stands.

        Raises:
            Unencodable: It is text that is no Unicode.
        """
        pack(("SSUBSCRIBE", channel))
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

    def drop(self) -> None:
        """Close the connection, and open it again."""
        if self.connected:
            self._dropped.set()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            try:
                await use(self._endpoint, self._serve, name=self._name, timeout_s=self._timeout_s)
            except Exception as error:  # noqa: BLE001  # the root of this connection; counted
                self._losses.count(error)
            finally:
                self.connected = False
                self._on_change(self)
            await asyncio.sleep(RECONNECT_WAIT.compute(self._failures))
            self._failures += 1

    async def _serve(self, connection: Connection) -> None:
        channel = RespTransport(connection, self._received, self._changed.set)
        self._asked.clear()
        self._dropped.clear()
        self.connected = True
        self._on_change(self)
        self._changes = dict.fromkeys(self._wanted, True)
        self._changed.set()
        await first_of(lost=channel.lost(), send=self._send(channel), drop=self._wait_for_drop())

    async def _wait_for_drop(self) -> None:
        await self._dropped.wait()
        raise exceptions.ConnectionError("opened again, since nothing came of it")

    async def _send(self, channel: RespTransport) -> None:
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
                self._asked.append(_PONG)
                channel.write([pack(("PING",))])
                self._try_again()
                continue
            self._changed.clear()
            if not channel.full:
                self._send_changes(channel)

    def _send_changes(self, channel: RespTransport) -> None:
        changes, self._changes = self._changes, {}
        batch: list[bytes] = []
        for name, wanted in changes.items():
            batch.append(pack(("SSUBSCRIBE" if wanted else "SUNSUBSCRIBE", name)))
            self._asked.append((_STANDS if wanted else _ENDED, name.encode()))
        channel.write(batch)

    def _try_again(self) -> None:
        """Ask a server that has refused for one channel: when it lets us have that, for all."""
        if self.refused and self._wanted:
            self.subscribe(next(iter(self._wanted)))

    def _received(self, reply: Reply) -> None:
        self._heard = True
        kind, name = b"", b""
        if type(reply) is list and len(reply) == 3 and type(reply[0]) is type(reply[1]) is bytes:
            kind, name, told = reply  # what it is, the channel, and what that says
            if kind == b"smessage" and type(told) is bytes:
                self._others.get(name, self._on_message)(name, told)
                return
            if kind == _ENDED and not self._is_asked(_ENDED, name):
                self._ended(name.decode())
                return
        elif reply in _PONGS:
            kind, name = _PONG
        if type(reply) is Refusal and self._asked:
            self._asked.popleft()
            self._refused(reply)
        elif not self._is_asked(kind, name):
            raise exceptions.InvalidResponse("redis told a subscriber what it had not asked")
        else:
            self._asked.popleft()
            if kind == _STANDS:
                self._stands(name)

    def _is_asked(self, kind: bytes, name: bytes) -> bool:
        return bool(self._asked) and self._asked[0] == (kind, name)

    def _stands(self, name: bytes) -> None:
        self._failures = 0
        if self.refused:
            self.refused = None
            self._changes = dict.fromkeys(self._wanted, True) | self._changes
            self._changed.set()
        self._others.get(name, self._on_message)(name, b"")

    def _ended(self, channel: str) -> None:
        """The server has ended a subscription: the slot goes elsewhere."""
        if channel in self._wanted:
            self.forget(channel)
            self._on_moved(channel)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.redirects and self._on_redirect is not None:
            self._on_redirect(refusal)
            return
        if refusal.reason in LEAVE:
            raise exceptions.ConnectionError(refusal.words)
        REFUSALS.labels(self._name, refusal.reason).inc()
        if not self.refused:
            log.warning("redis refuses subscriptions", client=self._name, error=refusal.words)
        self.refused = refusal


_STANDS, _ENDED = b"ssubscribe", b"sunsubscribe"
_PONG = (b"pong", b"")
_PONGS = (b"PONG", [b"pong", b""])
"""What a ping is answered with, before the first subscription and after it."""
