"""Slots: which node of a cluster serves which keys, read from any node and kept up to date."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from redis import exceptions
from redis.backoff import EqualJitterBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from relay_redis.connection import call, connect, settings_at, settings_of
from relay_redis.errors import Unencodable
from relay_redis.metrics import FAILOVERS
from relay_redis.schema import Key
from relay_settings.redis_url import Address, RedisUrl
from relay_telemetry.counter import OPEN, counter, expect
from relay_telemetry.throttle import Throttle

REFRESHES = counter(
    "relay_redis_map_refreshes_total",
    "Requests for a cluster's slot map.",
    client=OPEN,
    outcome=("updated", "failed"),
)

REFRESH_WAIT = EqualJitterBackoff(cap=1.0, base=0.2)
"""Between two requests for the map: at least 100-200 ms, up to 0.5-1 s while a primary is missing."""

log = structlog.get_logger(__name__)


def slot_of(key: Key) -> int:
    """The slot a key or a sharded channel lives in.

    Raises:
        Unencodable: The key has no UTF-8 form.
    """
    try:
        name = key if isinstance(key, bytes) else str(key).encode()
    except UnicodeError as error:
        raise Unencodable(f"the key cannot be encoded: {error}") from None
    return int(key_slot(name))


class SlotRange(NamedTuple):
    """Slots, and the nodes that serve them: the primary first."""

    first: int
    last: int
    nodes: list[Address]


class SlotMap:
    """A cluster's slots. ``run`` updates the map after each ``refresh``.

    Args:
        url: A Cluster URL; its addresses are the first nodes to read the map from.
        name: Of the client, in logs and metrics.
        timeout_s: How long one node may take to connect, and to answer.
        on_topology: Called after each update: the map may have changed.
        is_up: Whether the connection to a node is open. Those nodes are read first, and while a primary has
            no open connection, the map is read repeatedly: a replica may have taken over.
    """

    def __init__(
        self,
        url: RedisUrl,
        *,
        name: str,
        timeout_s: float,
        on_topology: Callable[[], None],
        is_up: Callable[[Address], bool],
    ) -> None:
        self._settings = settings_of(url.plain)
        self._name = name
        self._timeout_s = timeout_s
        self._on_topology = on_topology
        self._is_up = is_up
        self._known = set(url.addresses)
        """The nodes to read the map from: the seeds, and all nodes of the last map."""
        self._seeds = frozenset(url.addresses)
        self._slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._stale = asyncio.Event()
        self._stale.set()
        self._throttle = Throttle()
        expect(REFRESHES, client=name)
        self.primaries: frozenset[Address] = frozenset()
        """The nodes that serve slots; empty until the map is known."""
        self.failure = "the slots are not known"
        """Why the map could not be read last, for people."""

    def node_of(self, slot: int) -> Address | None:
        """The primary that serves a slot; None when none is known to."""
        return self._slots[slot]

    def move(self, slot: int, address: Address) -> None:
        """Move a slot to the node that a redirect names, and request the whole map.

        Raises:
            InvalidResponse: The slot is out of range.
        """
        if not 0 <= slot < REDIS_CLUSTER_HASH_SLOTS:
            raise exceptions.InvalidResponse(f"there is no slot {slot}")
        self._slots[slot] = address
        self.primaries |= {address}
        self.refresh()

    def refresh(self) -> None:
        """Request an update of the map."""
        self._stale.set()

    async def run(self) -> None:
        """Update the map after each request, until cancelled."""
        attempt = 0
        while True:
            await self._stale.wait()
            self._stale.clear()
            updated = await self._update()
            REFRESHES.labels(self._name, "updated" if updated else "failed").inc()
            if updated:
                self._on_topology()
            await asyncio.sleep(REFRESH_WAIT.compute(attempt))
            attempt += 1
            if updated and all(self._is_up(address) for address in self.primaries):
                attempt = 0
            else:
                self.refresh()

    async def _update(self) -> bool:
        """Read the map from one node after the other until one has it; returns whether one had."""
        addresses = random.sample(sorted(self._known), len(self._known))
        for address in sorted(addresses, key=lambda address: not self._is_up(address)):
            try:
                ranges = await self._read(address)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next node is read; counted
                self.failure = str(error) or repr(error)
                if (suppressed := self._throttle.admit(str(address))) is not None:
                    log.warning(
                        "cluster slots unavailable", client=self._name, error=self.failure,
                        suppressed=suppressed,
                    )  # fmt: skip
                continue
            if ranges:
                self._replace(ranges)
                return True
        return False

    async def _read(self, address: Address) -> list[SlotRange]:
        """The map of one node; empty when the node is cut off from the others, or has not met them yet."""
        connection = await connect(
            settings_at(self._settings, address), name=self._name, timeout_s=self._timeout_s
        )
        try:
            info = await call(connection, "CLUSTER", "INFO", timeout_s=self._timeout_s)
            if type(info) is not bytes or b"cluster_state:ok" not in info:
                return []
            return ranges_of(await call(connection, "CLUSTER", "SLOTS", timeout_s=self._timeout_s), address)
        finally:
            await connection.disconnect(nowait=True)

    def _replace(self, ranges: list[SlotRange]) -> None:
        slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = set(self._seeds)
        for first, last, nodes in ranges:
            slots[first : last + 1] = [nodes[0]] * (last + 1 - first)
            known.update(nodes)
        primaries = frozenset(nodes[0] for _, _, nodes in ranges)
        replaced = self.primaries - primaries
        if replaced:
            FAILOVERS.labels(self._name).inc(len(replaced))
            log.warning("redis has new primaries", client=self._name, replaced=sorted(replaced))
        self._slots, self._known, self.primaries = slots, known, primaries


def ranges_of(reply: Any, sender: Address) -> list[SlotRange]:
    """The slots in a reply to CLUSTER SLOTS. A node that does not know its own name leaves it out.

    Raises:
        InvalidResponse: The reply is something else.
    """
    try:
        ranges = [
            SlotRange(
                int(first),
                int(last),
                [Address(node[0].decode() if node[0] else sender.host, int(node[1])) for node in nodes],
            )
            for first, last, *nodes in reply
        ]
    except (TypeError, ValueError, IndexError, AttributeError):
        raise exceptions.InvalidResponse("the reply to CLUSTER SLOTS has no slots") from None
    if all(0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS and nodes for first, last, nodes in ranges):
        return ranges
    raise exceptions.InvalidResponse("the reply to CLUSTER SLOTS has slots out of range")
