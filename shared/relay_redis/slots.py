"""Slots: which node of a cluster serves which keys, learned from any node and kept up to date."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from redis import exceptions
from redis.backoff import EqualJitterBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from relay_redis.connection import FAILOVERS, ask, at, connect, settings_of
from relay_redis.errors import Unencodable
from relay_redis.schema import Key
from relay_settings.redis_url import Address, RedisUrl
from relay_telemetry.counter import OPEN, counter, expect
from relay_telemetry.throttle import Throttle

REFRESHES = counter(
    "relay_redis_map_refreshes_total",
    "Times a cluster's slot map was asked for.",
    client=OPEN,
    outcome=("learned", "failed"),
)

REFRESH_WAIT = EqualJitterBackoff(cap=1.0, base=0.2)
"""Between two questions for the map: at least 100-200 ms, up to 0.5-1 s while a primary is missing."""

log = structlog.get_logger(__name__)


def slot_of(key: Key) -> int:
    """The slot a key or a sharded channel lives in.

    Raises:
        Unencodable: It is text that is no Unicode.
    """
    try:
        name = key if isinstance(key, bytes) else str(key).encode()
    except UnicodeError as error:
        raise Unencodable(f"no key: {error}") from None
    return int(key_slot(name))


class SlotRange(NamedTuple):
    """Slots, and the nodes that have them: the primary first."""

    first: int
    last: int
    nodes: list[Address]


class SlotMap:
    """A cluster's slots. ``run`` keeps the map as it is asked to by ``refresh``.

    Args:
        url: A Cluster URL; its addresses are where to ask first.
        name: Of the link, in logs and metrics.
        timeout_s: How long one node may take to connect, and to answer.
        on_change: Called after each answer: the map may have changed.
        is_up: Whether we have a working connection to a node. Those are asked first, and while one that
            serves slots has none, the map is asked for again and again: another may have taken over.
    """

    def __init__(
        self,
        url: RedisUrl,
        *,
        name: str,
        timeout_s: float,
        on_change: Callable[[], None],
        is_up: Callable[[Address], bool],
    ) -> None:
        self._settings = settings_of(url.plain)
        self._name = name
        self._timeout_s = timeout_s
        self._on_change = on_change
        self._is_up = is_up
        self._known = set(url.addresses)
        """Everybody who can be asked: the seeds, and all nodes of the last answer."""
        self._seeds = frozenset(url.addresses)
        self._slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._throttle = Throttle()
        expect(REFRESHES, client=name)
        self.primaries: frozenset[Address] = frozenset()
        """The nodes that serve slots; empty until the map is known."""
        self.broken_by = "the slots are not known"
        """Why the map is not, for people."""

    def node_of(self, slot: int) -> Address | None:
        """Who serves a slot; None when nobody is known to."""
        return self._slots[slot]

    def move(self, slot: int, address: Address) -> None:
        """Take a node's word for where a slot is now, and ask for the whole map.

        Raises:
            InvalidResponse: There is no such slot.
        """
        if not 0 <= slot < REDIS_CLUSTER_HASH_SLOTS:
            raise exceptions.InvalidResponse(f"there is no slot {slot}")
        self._slots[slot] = address
        self.primaries |= {address}
        self.refresh()

    def refresh(self) -> None:
        """Ask for the map soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Learn the map whenever it is wanted, until cancelled."""
        attempt = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            learned = await self._learn()
            REFRESHES.labels(self._name, "learned" if learned else "failed").inc()
            if learned:
                self._on_change()
            await asyncio.sleep(REFRESH_WAIT.compute(attempt))
            attempt += 1
            if learned and all(self._is_up(address) for address in self.primaries):
                attempt = 0
            else:
                self.refresh()

    async def _learn(self) -> bool:
        """Ask one node after the other until one knows."""
        addresses = random.sample(sorted(self._known), len(self._known))
        for address in sorted(addresses, key=lambda address: not self._is_up(address)):
            try:
                ranges = await self._ask(address)
            except Exception as error:  # noqa: BLE001  # whatever it says, it is asked no more; counted
                self.broken_by = str(error) or repr(error)
                if (held_back := self._throttle.admit(str(address))) is not None:
                    log.warning(
                        "redis node does not tell the slots", client=self._name, error=self.broken_by,
                        held_back=held_back,
                    )  # fmt: skip
                continue
            if ranges:
                self._adopt(ranges)
                return True
        return False

    async def _ask(self, address: Address) -> list[SlotRange]:
        """Its slots; nothing from a node that is cut off from the others, or has not met them yet."""
        connection = await connect(at(self._settings, address), name=self._name, timeout_s=self._timeout_s)
        try:
            info = await ask(connection, "CLUSTER", "INFO", timeout_s=self._timeout_s)
            if type(info) is not bytes or b"cluster_state:ok" not in info:
                return []
            return ranges_of(await ask(connection, "CLUSTER", "SLOTS", timeout_s=self._timeout_s), address)
        finally:
            await connection.disconnect(nowait=True)

    def _adopt(self, ranges: list[SlotRange]) -> None:
        slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = set(self._seeds)
        for first, last, nodes in ranges:
            slots[first : last + 1] = [nodes[0]] * (last + 1 - first)
            known.update(nodes)
        primaries = frozenset(nodes[0] for _, _, nodes in ranges)
        gone = self.primaries - primaries
        if gone:
            FAILOVERS.labels(self._name).inc(len(gone))
            log.warning("redis has new primaries", client=self._name, gone=sorted(gone))
        self._slots, self._known, self.primaries = slots, known, primaries


def ranges_of(reply: Any, asked: Address) -> list[SlotRange]:
    """Read what CLUSTER SLOTS answers. A node that does not know its own name leaves it out.

    Raises:
        InvalidResponse: It is something else.
    """
    try:
        ranges = [
            SlotRange(
                int(first),
                int(last),
                [Address(node[0].decode() if node[0] else asked.host, int(node[1])) for node in nodes],
            )
            for first, last, *nodes in reply
        ]
    except (TypeError, ValueError, IndexError, AttributeError):
        raise exceptions.InvalidResponse("no slots in the answer to CLUSTER SLOTS") from None
    if all(0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS and nodes for first, last, nodes in ranges):
        return ranges
    raise exceptions.InvalidResponse("no such slots as CLUSTER SLOTS answers")
