"""Pub/sub on clusters: every channel at the node that serves its slot, also while slots move."""

from collections.abc import Callable, Mapping
from functools import partial

from relay_redis.endpoint import Endpoint
from relay_redis.pool import NodePool
from relay_redis.pubsub_connection import OnMessage, PubSubConnection
from relay_redis.refusals import Refusal
from relay_redis.slots import slot_of
from relay_settings.redis_url import Address, RedisUrl


class ClusterPubSub:
    """One ``PubSubConnection`` per primary, behind the same few methods as a single one.

    A channel whose slot moved, or whose node cannot be reached, is subscribed again where the slot map
    places it.

    Args:
        url: A Cluster URL.
        on_message: As for ``PubSubConnection``, like the others.
        callbacks: Called instead, by channel.
        name: Of the client, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
        on_change: Called when a connection opened or ended.
    """

    def __init__(
        self,
        url: RedisUrl,
        on_message: OnMessage,
        callbacks: Mapping[bytes, OnMessage],
        *,
        name: str,
        timeout_s: float,
        ping_s: float,
        on_change: Callable[[PubSubConnection], None],
    ) -> None:
        self._on_message = on_message
        self._callbacks = callbacks
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._assigned: dict[str, Address | None] = {}
        """Every channel, with the node it is subscribed at; None until that is known."""
        self._pool = NodePool(
            url, self._open_node, name=name, timeout_s=timeout_s, on_topology=self._on_topology,
            on_change=on_change,
        )  # fmt: skip
        self._slots = self._pool.slots

    @property
    def connected(self) -> bool:
        """Whether the slots are known and every primary is connected."""
        return self._pool.connected

    @property
    def refusal(self) -> Refusal | None:
        """As ``PubSubConnection.refusal``, of any of them."""
        return next((node.refusal for node in self._pool if node.refusal), None)

    def reconnect(self) -> None:
        """As ``PubSubConnection.reconnect``, for all of them; and refresh the slot map."""
        self._slots.refresh()
        for node in self._pool:
            node.reconnect()

    def subscribe(self, channel: str) -> None:
        """As ``PubSubConnection.subscribe``."""
        slot_of(channel)  # raises for a name that cannot be encoded, before it is kept
        self._assigned[channel] = None
        self._assign(channel)

    def unsubscribe(self, channel: str) -> None:
        """As ``PubSubConnection.unsubscribe``."""
        self._unassign(channel)
        self._assigned.pop(channel, None)

    async def run(self) -> None:
        """Keep the slot map and a connection to every primary, until cancelled."""
        await self._pool.run()

    def _open_node(self, address: Address, endpoint: Endpoint) -> PubSubConnection:
        return PubSubConnection(
            endpoint,
            name=self._name,
            timeout_s=self._timeout_s,
            ping_s=self._ping_s,
            on_message=self._on_message,
            callbacks=self._callbacks,
            on_change=self._pool.node_changed,
            on_moved=self._on_moved,
            on_redirect=partial(self._on_redirect, address),
        )

    def _on_topology(self) -> None:
        """Move the channels whose slots have moved."""
        for channel, address in list(self._assigned.items()):
            if address is None or address != self._slots.node_of(slot_of(channel)):
                self._unassign(channel)
                self._assign(channel)

    def _assign(self, channel: str) -> None:
        address = self._slots.node_of(slot_of(channel))
        node = self._pool.get(address)
        if node is None:
            self._slots.refresh()
        else:
            self._assigned[channel] = address
            node.subscribe(channel)

    def _unassign(self, channel: str) -> None:
        node = self._pool.get(self._assigned.get(channel))
        if node is not None:
            node.unsubscribe(channel)
            self._assigned[channel] = None

    def _on_moved(self, channel: str) -> None:
        self._assigned[channel] = None
        self._slots.refresh()

    def _on_redirect(self, sender: Address, redirect: Refusal) -> None:
        slot, _ = redirect.redirect(sender)
        for channel, address in self._assigned.items():
            if address == sender and slot_of(channel) == slot:
                self._pool.node(sender).discard(channel)
                self._on_moved(channel)
