"""Node pools: one connection to each node of a cluster that serves slots, opened and closed as slots move."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from relay_redis.connection import settings_of
from relay_redis.endpoint import Endpoint, NodeEndpoint
from relay_redis.slots import SlotMap
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import Address, RedisUrl


class PoolNode(Protocol):
    """A connection to one node of a cluster."""

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""

    @property
    def idle(self) -> bool:
        """Whether closing it would interrupt nothing."""

    async def run(self) -> None:
        """Keep the connection open, until cancelled."""


T = TypeVar("T", bound=PoolNode)


class NodePool(Generic[T]):
    """The connections of a cluster, by address.

    Args:
        url: A Cluster URL.
        open_node: Makes the connection to a node that the pool then runs.
        name: Of the client, in logs and metrics.
        timeout_s: How long one node may take to connect, and to answer for the slot map.
        on_topology: Called when the slot map may have changed, after connections to new primaries were opened
            and before those that serve no slots are closed.
        on_change: Called when a connection opened or ended.
    """

    def __init__(
        self,
        url: RedisUrl,
        open_node: Callable[[Address, Endpoint], T],
        *,
        name: str,
        timeout_s: float,
        on_topology: Callable[[], None],
        on_change: Callable[[T], None],
    ) -> None:
        self._settings = settings_of(url.plain)
        self._open_node = open_node
        self._name = name
        self._after_topology = on_topology
        self._on_change = on_change
        self._nodes: dict[Address, T] = {}
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._scope = TaskScope()
        self.closed = False
        """Whether ``run`` has ended: no connection is opened any more."""
        self.slots = SlotMap(
            url, name=name, timeout_s=timeout_s, on_topology=self._on_topology, is_up=self.is_up
        )

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._nodes.values()))

    @property
    def connected(self) -> bool:
        """Whether the slots are known and every primary is connected."""
        return bool(self.slots.primaries) and all(map(self.is_up, self.slots.primaries))

    def is_up(self, address: Address) -> bool:
        """Whether the connection to a node is open."""
        node = self._nodes.get(address)
        return node is not None and node.connected

    def get(self, address: Address | None) -> T | None:
        """The connection to a node, when there is one, open or not."""
        return None if address is None else self._nodes.get(address)

    def node(self, address: Address) -> T:
        """The connection to a node; a new one when there is none."""
        node = self._nodes.get(address)
        if node is None:
            node = self._open_node(address, NodeEndpoint(self._settings, address))
            task = self._scope.spawn(node.run(), name=f"redis-{self._name}-{address.port}")
            self._nodes[address], self._tasks[address] = node, task
        return node

    def node_changed(self, node: T) -> None:
        """To be called by each node when its connection opened or ended."""
        if not node.connected:
            self.slots.refresh()
        self._on_change(node)

    async def run(self) -> None:
        """Keep the slot map and a connection to every primary, until cancelled."""
        try:
            async with self._scope:
                await self.slots.run()
        finally:
            self.closed = True

    def _on_topology(self) -> None:
        for address in self.slots.primaries:
            self.node(address)
        self._after_topology()
        for address in self._nodes.keys() - self.slots.primaries:
            # A busy one serves slots that it is about to get, or has just given away.
            if self._nodes[address].idle or not self._nodes[address].connected:
                del self._nodes[address]
                self._tasks.pop(address).cancel()
