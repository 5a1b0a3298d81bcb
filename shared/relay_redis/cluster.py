"""Clusters: every command to the node that serves its key, also while slots move and nodes fail."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from relay_redis.endpoint import Endpoint
from relay_redis.errors import Unavailable, Unencodable
from relay_redis.node import Command, Node, Reply, Request
from relay_redis.pool import NodePool
from relay_redis.refusals import Refusal
from relay_redis.schema import Key, Schema
from relay_redis.slots import slot_of
from relay_settings.redis_url import Address, RedisUrl
from relay_telemetry.counter import OPEN, counter, expect

MAX_REDIRECTS = 5
"""How often one command is redirected to another node."""

REDIRECTS = counter(
    "relay_redis_redirects_total",
    "Commands that another node of the cluster had to serve.",
    client=OPEN,
    kind=("moved", "ask"),
)


class Cluster:
    """One pipelining connection per primary, behind the same few methods as one ``Node``.

    A command waits while no node is known to serve its slot or the connection to that node is down, and
    moves with the slot when a replica takes over. ``MOVED`` and ``ASK`` redirect it; more than
    ``MAX_REDIRECTS`` of them make it ``Unavailable``.

    Args:
        url: A Cluster URL.
        schema: As for ``Node``.
        name: Of the client, in logs and metrics.
        timeout_s: How long one command may take before its connection counts as dead.
        max_waiting: Most commands waiting at each node, so that a dead one does not block others' keys.
        on_change: Called when a connection opened or ended.
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
        self._schema = schema
        self._name = name
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._unrouted: list[Request] = []
        """Requests for slots that no node is known to serve."""
        self._pool = NodePool(
            url, self._open_node, name=name, timeout_s=timeout_s, on_topology=self._on_topology,
            on_change=on_change,
        )  # fmt: skip
        self._slots = self._pool.slots
        expect(REDIRECTS, client=name)

    @property
    def connected(self) -> bool:
        """Whether the slots are known and every primary is connected."""
        return self._pool.connected

    @property
    def connected_at(self) -> float:
        """When the last of the connections opened, on the loop's clock."""
        return max((node.connected_at for node in self._pool), default=0.0)

    @property
    def disconnect_reason(self) -> str:
        """Why a primary cannot be reached, for people."""
        reasons = [node.disconnect_reason for node in self._pool if not node.connected]
        return next(filter(None, reasons), self._slots.failure)

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write to the node that serves its key.

        Args:
            command: What to run.
            key: Decides the node; the command's second element when None.

        Raises:
            Unavailable: Too many commands wait already.
        """
        if key is None and len(command) > 1:
            key = command[1]
        request = Request(command, key)
        try:
            self._route(request)
        except Unencodable as error:
            request.fail(error)
        return request.future

    def reconnect(self, key: Key) -> bool:
        """Close the connection that serves a key, and open another. Returns whether there was one."""
        self._slots.refresh()
        address = self._slots.node_of(slot_of(key))
        return address is not None and self._pool.node(address).reconnect()

    def one_per_server(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each node that serves any."""
        return list({self._slots.node_of(slot_of(key)): key for key in keys}.values())

    async def run(self) -> None:
        """Keep the slot map and a connection to every primary, until cancelled."""
        await self._pool.run()

    def close(self) -> None:
        """Fail what waits; ``run`` must have ended."""
        for node in self._pool:
            node.close()
        for request in self._unrouted:
            request.fail(Unavailable("the Redis client is closed"))
        self._unrouted.clear()

    # --- routing -------------------------------------------------------------------------------

    def _route(self, request: Request) -> None:
        request.asking = False
        address = self._any_node() if request.key is None else self._slots.node_of(slot_of(request.key))
        if address is not None:
            self._pool.node(address).enqueue(request)
            return
        if len(self._unrouted) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} commands already wait for Redis")
        self._unrouted.append(request)
        self._slots.refresh()

    def _reroute(self, requests: Iterable[Request]) -> None:
        for request in requests:
            try:
                self._route(request)
            except Unavailable as error:
                request.fail(error)

    def _any_node(self) -> Address | None:
        primaries = list(self._slots.primaries)
        up = [address for address in primaries if self._pool.is_up(address)]
        return random.choice(up or primaries) if primaries else None  # noqa: S311  # no secret

    def _on_refusal(self, address: Address, request: Request, refusal: Refusal) -> bool:
        """Redirect a request that a node refused, if the refusal says so; returns whether it did."""
        if refusal.redirects:
            self._redirect(address, request, refusal)
            return True
        if refusal.code == "CLUSTERDOWN":
            self._slots.refresh()
        return False

    def _redirect(self, sender: Address, request: Request, redirect: Refusal) -> None:
        moved = redirect.code == "MOVED"
        REDIRECTS.labels(self._name, redirect.code.lower()).inc()
        slot, address = redirect.redirect(sender)
        if moved:
            self._slots.move(slot, address)
        request.redirects += 1
        if self._pool.closed or request.redirects > MAX_REDIRECTS:
            request.fail(Unavailable(f"redirected {request.redirects} times between nodes"))
            return
        request.asking = not moved
        try:
            self._pool.node(address).enqueue(request)
        except Unavailable as error:
            request.fail(error)

    # --- nodes ---------------------------------------------------------------------------------

    def _open_node(self, address: Address, endpoint: Endpoint) -> Node:
        return Node(
            endpoint,
            self._schema,
            name=self._name,
            timeout_s=self._timeout_s,
            max_waiting=self._max_waiting,
            on_change=self._pool.node_changed,
            redirect=partial(self._on_refusal, address),
        )

    def _on_topology(self) -> None:
        """Route again what was not sent: the nodes of its slots may have changed."""
        waiting, self._unrouted = self._unrouted, []
        for node in self._pool:
            if not node.connected:
                waiting += node.remove_unsent()
        self._reroute(waiting)
