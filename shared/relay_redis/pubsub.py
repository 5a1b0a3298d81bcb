"""Hints: which streams moved, over sharded pub/sub. A lost hint costs time, never data."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from relay_redis.client import endpoint_of
from relay_redis.connection import CONNECTED, NodeEndpoint, settings_of
from relay_redis.pubsub_connection import OnMessage, PubSubConnection
from relay_redis.refusals import Refusal
from relay_redis.slots import SlotMap, slot_of
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import Address, RedisUrl


class PubSub:
    """A subscription to the hint channels of streams. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is, as ``RedisUrl.parse`` reads it.
        on_hint: Called with a stream's name when it moved, and with what the hint tells of that; and with
            nothing told after every (re)subscription, because it may have moved unheard. Called on the
            event loop; must not block or raise.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
    """

    def __init__(
        self,
        url: str,
        on_hint: OnMessage,
        *,
        name: str,
        timeout_s: float = 2.0,
        ping_s: float = 2.0,
    ) -> None:
        self.name = name
        self._others: dict[bytes, OnMessage] = {}
        CONNECTED.labels(name)
        self._scope = TaskScope()
        parsed = RedisUrl.parse(url)
        self._channels: PubSubConnection | ClusterPubSub
        if parsed.topology == "cluster":
            self._channels = ClusterPubSub(
                parsed, on_hint, self._others, name=name, timeout_s=timeout_s, ping_s=ping_s,
                on_change=self._changed,
            )  # fmt: skip
        else:
            self._channels = PubSubConnection(
                endpoint_of(parsed),
                name=name,
                timeout_s=timeout_s,
                ping_s=ping_s,
                on_message=on_hint,
                others=self._others,
                on_change=self._changed,
            )

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._scope.spawn(self._channels.run(), name=f"redis-{self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    def subscribe(self, stream: str, on_hint: OnMessage | None = None) -> None:
        """Want hints for a stream; ``on_hint`` is called once when the subscription stands.

        Args:
            stream: Its name.
            on_hint: Called for this stream instead of what was given to all. Wanting it again does nothing.

        Raises:
            Unencodable: It is text that is no Unicode.
        """
        if on_hint is not None:
            if stream.encode() in self._others:
                return
            self._others[stream.encode()] = on_hint
        self._channels.subscribe(stream)

    def unsubscribe(self, stream: str) -> None:
        """Want no more hints for a stream."""
        self._channels.unsubscribe(stream)

    @property
    def connected(self) -> bool:
        """Whether every server that serves channels is connected."""
        return self._channels.connected

    @property
    def refused(self) -> Refusal | None:
        """Why a server lets us subscribe to nothing; None when all do."""
        return self._channels.refused

    def drop(self) -> None:
        """Open every connection again, and ask where they go."""
        self._channels.drop()

    def _changed(self, _: PubSubConnection) -> None:
        CONNECTED.labels(self.name).set(self._channels.connected)


class ClusterPubSub:
    """One ``PubSubConnection`` per primary, and each channel at the one that serves its slot.

    A channel that moved, or whose node cannot be reached, is subscribed anew once the map says where.
    Its arguments are those of ``PubSub``, and those of ``PubSubConnection``.
    """

    def __init__(
        self,
        url: RedisUrl,
        on_hint: OnMessage,
        others: Mapping[bytes, OnMessage],
        *,
        name: str,
        timeout_s: float,
        ping_s: float,
        on_change: Callable[[PubSubConnection], None],
    ) -> None:
        self._settings = settings_of(url.plain)
        self._on_hint = on_hint
        self._others = others
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._on_change = on_change
        self._nodes: dict[Address, tuple[PubSubConnection, asyncio.Task[None]]] = {}
        self._homes: dict[str, Address | None] = {}
        """Every wanted channel, with where it is subscribed; None until that is known."""
        self._map = SlotMap(url, name=name, timeout_s=timeout_s, on_change=self._adopt, is_up=self._is_up)
        self._scope = TaskScope()

    @property
    def connected(self) -> bool:
        """Whether the slots are known and every primary can be reached."""
        return bool(self._map.primaries) and all(map(self._is_up, self._map.primaries))

    @property
    def refused(self) -> Refusal | None:
        """As ``PubSubConnection.refused``, of any of them."""
        return next((node.refused for node, _ in self._nodes.values() if node.refused), None)

    def drop(self) -> None:
        """As ``PubSubConnection.drop``, for all of them; and learn the slots again."""
        self._map.refresh()
        for subscription, _ in self._nodes.values():
            subscription.drop()

    def subscribe(self, channel: str) -> None:
        """As ``PubSubConnection.subscribe``."""
        slot_of(channel)  # before it is wanted: a name that has none stays out
        self._homes[channel] = None
        self._settle(channel)

    def unsubscribe(self, channel: str) -> None:
        """As ``PubSubConnection.unsubscribe``."""
        self._leave(channel)
        self._homes.pop(channel, None)

    async def run(self) -> None:
        """Keep the map and a connection to every primary, until cancelled."""
        async with self._scope:
            await self._map.run()

    def _adopt(self) -> None:
        """The map may have changed: open what is new, close what serves nothing, move channels."""
        for address in self._map.primaries - self._nodes.keys():
            self._nodes[address] = self._open(address)
        for channel, home in list(self._homes.items()):
            if home is None or home != self._map.node_of(slot_of(channel)):
                self._leave(channel)
                self._settle(channel)
        for address in self._nodes.keys() - self._map.primaries:
            self._nodes.pop(address)[1].cancel()

    def _open(self, address: Address) -> tuple[PubSubConnection, asyncio.Task[None]]:
        subscription = PubSubConnection(
            NodeEndpoint(self._settings, address),
            name=self._name,
            timeout_s=self._timeout_s,
            ping_s=self._ping_s,
            on_message=self._on_hint,
            others=self._others,
            on_change=self._changed,
            on_moved=self._moved,
            on_redirect=partial(self._redirect, address),
        )
        return subscription, self._scope.spawn(subscription.run(), name=f"redis-{self._name}-{address.port}")

    def _settle(self, channel: str) -> None:
        home = self._map.node_of(slot_of(channel))
        if home in self._nodes:
            self._homes[channel] = home
            self._nodes[home][0].subscribe(channel)
        else:
            self._map.refresh()

    def _leave(self, channel: str) -> None:
        home = self._homes.get(channel)
        if home in self._nodes:
            self._nodes[home][0].unsubscribe(channel)
            self._homes[channel] = None

    def _moved(self, channel: str) -> None:
        self._homes[channel] = None
        self._map.refresh()

    def _redirect(self, address: Address, redirect: Refusal) -> None:
        slot, _ = redirect.redirect(address)
        for channel, home in self._homes.items():
            if home == address and slot_of(channel) == slot:
                self._nodes[address][0].forget(channel)
                self._moved(channel)

    def _changed(self, subscription: PubSubConnection) -> None:
        if not subscription.connected:
            self._map.refresh()
        self._on_change(subscription)

    def _is_up(self, address: Address) -> bool:
        return address in self._nodes and self._nodes[address][0].connected
