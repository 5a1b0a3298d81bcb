"""Clusters: every command to the node that serves its key, also while slots move and nodes die."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from relay_redis.connection import NodeEndpoint, settings_of
from relay_redis.errors import Unavailable, Unencodable
from relay_redis.node import Command, Node, Reply, Request
from relay_redis.refusals import Refusal
from relay_redis.schema import Key, Schema
from relay_redis.slots import SlotMap, slot_of
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import Address, RedisUrl
from relay_telemetry.counter import OPEN, counter, expect

MAX_REDIRECTS = 5
"""How often one command is sent on to another node."""

REDIRECTS = counter(
    "relay_redis_redirects_total",
    "Commands that another node of the cluster had to serve.",
    client=OPEN,
    kind=("moved", "ask"),
)


class Cluster:
    """One pipelining connection per primary, behind the same few methods as one ``Node``.

    A command waits while nobody is known to serve its slot or the connection to that node is down, and
    moves on with the slot when a replica takes over. ``MOVED`` and ``ASK`` send it on; more than
    ``MAX_REDIRECTS`` of them make it ``Unavailable``.

    Args:
        url: A Cluster URL.
        schema: As for ``Node``.
        name: Of the link, in logs and metrics.
        timeout_s: How long one command may take before its connection counts as dead.
        max_waiting: Most commands waiting at each node, so that a dead one does not refuse others' keys.
        on_change: Called when a connection came up or was lost.
    """

    def __init__(
        self,
        url: RedisUrl,
        schema: Schema,
        *,
        name: str,
        timeout_s: float,
        max_waiting: int,
        on_change: Callable[[Node], None],
    ) -> None:
        self._settings = settings_of(url.plain)
        self._schema = schema
        self._name = name
        expect(REDIRECTS, client=name)
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._nodes: dict[Address, tuple[Node, asyncio.Task[None]]] = {}
        self._homeless: list[Request] = []
        """Requests for slots nobody is known to serve."""
        self._map = SlotMap(url, name=name, timeout_s=timeout_s, on_change=self._adopt, is_up=self._is_up)
        self._scope = TaskScope()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the slots are known and every primary can be reached."""
        return bool(self._map.primaries) and all(map(self._is_up, self._map.primaries))

    @property
    def connected_at(self) -> float:
        """When the last of the connections came up, on the loop's clock."""
        return max((node.connected_at for node, _ in self._nodes.values()), default=0.0)

    @property
    def broken_by(self) -> str:
        """Why a primary cannot be reached, for people."""
        reasons = [node.broken_by for node, _ in self._nodes.values() if not node.connected]
        return next(filter(None, reasons), self._map.broken_by)

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write to the node that serves its key.

        Args:
            command: What to run.
            key: What decides the node; the command's second element when None.

        Raises:
            Unavailable: Too many commands wait already.
        """
        if key is None and len(command) > 1:
            key = command[1]
        request = Request(command, key)
        try:
            self._put(request)
        except Unencodable as error:
            request.fail(error)
        return request.future

    def drop(self, key: Key) -> bool:
        """Close the connection that serves a key, and open it again. Returns whether one stood."""
        self._map.refresh()
        address = self._map.node_of(slot_of(key))
        return address is not None and self._node(address).drop()

    def one_each(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each node that serves any."""
        return list({self._map.node_of(slot_of(key)): key for key in keys}.values())

    async def run(self) -> None:
        """Keep the map and a connection to every primary, until cancelled."""
        try:
            async with self._scope:
                await self._map.run()
        finally:
            self._closed = True

    def close(self) -> None:
        """Fail what waits; ``run`` must have ended."""
        for node, _ in self._nodes.values():
            node.close()
        for request in self._homeless:
            request.fail(Unavailable("the link is closed"))
        self._homeless.clear()

    # --- routing -------------------------------------------------------------------------------

    def _put(self, request: Request) -> None:
        request.asking = False
        address = self._anybody() if request.key is None else self._map.node_of(slot_of(request.key))
        if address is not None:
            self._node(address).put(request)
            return
        if len(self._homeless) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} commands already wait for Redis")
        self._homeless.append(request)
        self._map.refresh()

    def _put_again(self, requests: Iterable[Request]) -> None:
        for request in requests:
            try:
                self._put(request)
            except Unavailable as error:
                request.fail(error)

    def _anybody(self) -> Address | None:
        everybody = list(self._map.primaries)
        up = [address for address in everybody if self._is_up(address)]
        return random.choice(up or everybody) if everybody else None  # noqa: S311  # no secret

    def _refused(self, asked: Address, request: Request, refusal: Refusal) -> bool:
        if refusal.redirects:
            self._redirect(asked, request, refusal)
            return True
        if refusal.code == "CLUSTERDOWN":
            self._map.refresh()
        return False

    def _redirect(self, asked: Address, request: Request, redirect: Refusal) -> None:
        moved = redirect.code == "MOVED"
        REDIRECTS.labels(self._name, redirect.code.lower()).inc()
        slot, address = redirect.redirect(asked)
        if moved:
            self._map.move(slot, address)
        request.redirects += 1
        if self._closed or request.redirects > MAX_REDIRECTS:
            request.fail(Unavailable(f"sent from node to node {request.redirects} times"))
            return
        request.asking = not moved
        try:
            self._node(address).put(request)
        except Unavailable as error:
            request.fail(error)

    # --- nodes ---------------------------------------------------------------------------------

    def _node(self, address: Address) -> Node:
        if address not in self._nodes:
            node = Node(
                NodeEndpoint(self._settings, address),
                self._schema,
                name=self._name,
                timeout_s=self._timeout_s,
                max_waiting=self._max_waiting,
                on_change=self._changed,
                on_refusal=partial(self._refused, address),
            )
            task = self._scope.spawn(node.run(), name=f"redis-{self._name}-{address.port}")
            self._nodes[address] = (node, task)
        return self._nodes[address][0]

    def _is_up(self, address: Address) -> bool:
        return address in self._nodes and self._nodes[address][0].connected

    def _changed(self, node: Node) -> None:
        if not node.connected:
            self._map.refresh()
        self._on_change(node)

    def _adopt(self) -> None:
        """The map may have changed: open what is new, close what serves nothing, move what waits."""
        for address in self._map.primaries:
            self._node(address)
        waiting, self._homeless = self._homeless, []
        for address, (node, task) in list(self._nodes.items()):
            if not node.connected:
                waiting += node.take_unsent()
            # One that is up and busy is asked for slots it is about to get, or has just lost.
            if address not in self._map.primaries and (node.idle or not node.connected):
                task.cancel()
                del self._nodes[address]
        self._put_again(waiting)
