"""Real Redis topologies as child processes on free loopback ports, for tests and the fault suite.

    with sentinel_topology() as redis:      # a primary, two replicas, three sentinels; about 1 s
        RedisClient(redis.url, SCHEMA, name="test")
        (await redis.primary()).kill()      # fails over in about 2 s

    with cluster_topology() as redis:       # three primaries, a replica of each; about 2 s
        (await redis.primary_of(slot_of("relay:{p00}:unowned"))).kill()

Entering, ``Process.start`` and ``stop`` block: call them outside of the event loop, or from a test
that has switched the blocking-call guard off. Everything else is quick, and what waits is async.
Data lives in memory only. All processes end with the block, and with the process that started them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
from redis.crc import key_slot
from tests.rigs.eventually import eventually
from tests.rigs.redis_process import READY_TIMEOUT_S, Process, free_port, wait_for, workshop

__all__ = [
    "ClusterTopology", "Process", "SentinelTopology", "cluster_topology", "sentinel_topology", "slot_of",
]  # fmt: skip

SLOTS = 16384
MASTER = "relay"
"""The name the sentinels know the primary by."""


def slot_of(key: str) -> int:
    """The cluster slot a key lives in."""
    return int(key_slot(key.encode()))


@dataclass
class SentinelTopology:
    """A primary with replicas, watched by sentinels that fail it over in about two seconds.

    Attributes:
        url: What ``RELAY_REDIS_URL`` takes.
        data: The data servers, the first primary first.
        sentinels: Those that watch.
    """

    url: str
    data: list[Process]
    sentinels: list[Process]

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        return [*self.data, *self.sentinels]

    async def primary(self) -> Process:
        """The primary that most sentinels name now."""
        named: list[int] = []
        for sentinel in self.sentinels:
            try:
                _, port = await sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
            except redis.RedisError:
                continue
            named.append(int(port))
        port = max(named, key=named.count)
        return next(process for process in self.data if process.port == port)

    async def fail_over(self) -> Process:
        """Have the sentinels replace the primary. Returns the new one."""
        old = await self.primary()
        first = self.sentinels[0]

        async def request() -> None:
            _, port = await first.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
            if int(port) == old.port:
                await first.execute("SENTINEL", "FAILOVER", MASTER)

        return await _replaced(old, request, self.primary)

    async def replicas(self) -> list[Process]:
        """The data servers that are not the primary."""
        primary = await self.primary()
        return [process for process in self.data if process is not primary]

    async def whole(self) -> None:
        """Wait until every data server runs as the primary or as a replica in step with it."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while True:
                try:
                    role = await (await self.primary()).execute("ROLE")
                    if role[0] == "master" and len(role[2]) == len(self.data) - 1:
                        return
                except redis.RedisError:
                    pass
                await asyncio.sleep(0.05)


async def _replaced(
    old: Process, request: Callable[[], Awaitable[object]], primary: Callable[[], Awaitable[Process]]
) -> Process:
    """Request a fail-over until another process is the primary, and return it.

    Servers abandon a fail-over that a busy machine delays beyond their own limit, so one request is not
    enough. While a fail-over is in progress, and after it, they reject another.
    """

    async def successor() -> Process:
        with suppress(redis.ResponseError):
            await request()
        return await primary()

    found: Process = await eventually(successor, READY_TIMEOUT_S, until=lambda process: process is not old)
    return found


@contextmanager
def sentinel_topology(binary: str | None = None) -> Iterator[SentinelTopology]:
    """A primary, two replicas and three sentinels.

    Args:
        binary: What to run, Redis or Valkey; None takes ``redis-server`` from the PATH, else what is
            embedded.
    """
    with workshop(binary) as start:
        primary = start("primary", *REPLICATED)
        client = ("--replicaof", "127.0.0.1", str(primary.port))
        replicas = [start("replica", *REPLICATED, *client) for _ in range(2)]
        wait_for(lambda: len(primary.ask("ROLE")[2]) == 2, "the replicas")
        sentinels = [start("sentinel") for _ in range(3)]
        for sentinel in sentinels:
            sentinel.ask("SENTINEL", "MONITOR", MASTER, "127.0.0.1", primary.port, 2)
            sentinel.ask("SENTINEL", "SET", MASTER, "down-after-milliseconds", 500, "failover-timeout", 3000)
            for period in ("INFO-PERIOD", "PUBLISH-PERIOD", "PING-PERIOD", "ASK-PERIOD"):
                sentinel.ask("SENTINEL", "DEBUG", period, 200)
        for sentinel in sentinels:
            wait_for(partial(_sees_all, sentinel), "the sentinels")
        where = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        yield SentinelTopology(f"redis+sentinel://{where}/{MASTER}", [primary, *replicas], sentinels)


def _sees_all(sentinel: Process) -> bool:
    flat = sentinel.ask("SENTINEL", "MASTER", MASTER)
    facts = dict(zip(flat[::2], flat[1::2], strict=True))
    return int(facts["num-slaves"]) == 2 and int(facts["num-other-sentinels"]) == 2


@dataclass
class ClusterTopology:
    """Three primaries with a replica each; a replica takes over about two seconds after a death.

    Attributes:
        url: What ``RELAY_REDIS_URL`` takes.
        processes: All nodes; the first three were the primaries at the start.
    """

    url: str
    processes: list[Process]

    async def primary_of(self, slot: int) -> Process:
        """The node that serves a slot now, as the first node that answers sees it."""
        for first, last, primary, *_ in await self._slots():
            if first <= slot <= last:
                return self._at(primary[1])
        raise AssertionError(f"no node serves slot {slot}")

    async def replicas_of(self, primary: Process) -> list[Process]:
        """The nodes that would take over from it; waits until there is one, since gossip takes its time."""
        ports = await eventually(lambda: self._replica_ports(primary), READY_TIMEOUT_S)
        return [process for process in self.processes if process.port in ports]

    async def _replica_ports(self, primary: Process) -> set[int]:
        return {
            replica[1]
            for _, _, first, *replicas in await self._slots()
            for replica in replicas
            if first[1] == primary.port
        }

    async def fail_over(self, primary: Process) -> Process:
        """Have a replica take over a primary's slots, which stays as a replica. Returns the new primary."""
        [replica, *_] = await self.replicas_of(primary)

        async def serving() -> Process:
            return replica if replica in await self.primaries() else primary

        return await _replaced(primary, partial(replica.execute, "CLUSTER", "FAILOVER"), serving)

    async def primaries(self) -> list[Process]:
        """The nodes that serve slots now."""
        ports = {primary[1] for _, _, primary, *_ in await self._slots()}
        return [process for process in self.processes if process.port in ports]

    async def whole(self) -> None:
        """Wait until every node that runs sees all slots served, and every primary has a replica in step."""
        for process in self.processes:
            await eventually(partial(self._agrees, process), READY_TIMEOUT_S)
        for primary in await self.primaries():
            await self.replicas_of(primary)

    async def begin_migration(self, slot: int, target: Process) -> Process:
        """Make a slot's node answer ASK for keys it has not, or no more. Returns that node."""
        source = await self.primary_of(slot)
        source_id, target_id = (
            await source.execute("CLUSTER", "MYID"),
            await target.execute("CLUSTER", "MYID"),
        )
        await target.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        await source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        return source

    async def move_keys(self, slot: int, source: Process, target: Process, count: int = 100) -> int:
        """Move up to ``count`` keys of a slot that migrates. Returns how many."""
        keys = await source.execute("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            await source.execute("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    async def end_migration(self, slot: int, source: Process, target: Process) -> None:
        """Give the slot to its new node: the old one answers MOVED from now on."""
        target_id = await target.execute("CLUSTER", "MYID")
        others = [process for process in await self.primaries() if process not in (source, target)]
        for process in (target, source, *others):
            await process.execute("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    async def migrate(self, slot: int, target: Process, *, batch: int = 100, pause_s: float = 0.0) -> None:
        """Move a slot and its keys to another primary while clients use it.

        Args:
            slot: Which.
            target: Where it goes.
            batch: Keys moved at a time.
            pause_s: Between batches: how long some keys are here and some there.
        """
        source = await self.begin_migration(slot, target)
        while await self.move_keys(slot, source, target, batch):  # ends: new keys are made at the target
            await asyncio.sleep(pause_s)
        await self.end_migration(slot, source, target)

    async def _slots(self) -> list[Any]:
        for process in self.processes:
            try:
                info = await process.execute("CLUSTER", "INFO")
                if _ok(info):
                    return list(await process.execute("CLUSTER", "SLOTS"))
            except redis.RedisError:
                continue
        raise AssertionError("no node answers that the cluster is well")

    async def _agrees(self, process: Process) -> bool:
        if process.process is None or process.process.poll() is not None:
            return True
        try:
            role = await process.execute("ROLE")
            in_step = bool(role[2]) if role[0] == "master" else role[3] == "connected"
            return in_step and _ok(await process.execute("CLUSTER", "INFO"))
        except redis.RedisError:
            return False

    def _at(self, port: int) -> Process:
        return next(process for process in self.processes if process.port == port)


@contextmanager
def cluster_topology(binary: str | None = None) -> Iterator[ClusterTopology]:
    """A cluster of six nodes.

    Args:
        binary: What to run, Redis or Valkey; None takes ``redis-server`` from the PATH, else what is
            embedded.
    """
    with workshop(binary) as start:
        nodes = [start("node", *REPLICATED, *_CLUSTER, "--cluster-port", str(free_port())) for _ in range(6)]
        primaries, replicas = nodes[:3], nodes[3:]
        first = nodes[0]
        edges = [SLOTS * index // 3 for index in range(4)]
        for index, primary in enumerate(primaries):
            primary.ask("CLUSTER", "ADDSLOTSRANGE", edges[index], edges[index + 1] - 1)
        for epoch, node in enumerate(nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in nodes[1:]:
            bus = int(node.ask("CONFIG", "GET", "cluster-port")[1])
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            wait_for(partial(_knows_all, node), "the nodes to meet")
        for primary, replica in zip(primaries, replicas, strict=True):
            wanted = primary.ask("CLUSTER", "MYID")
            replica.ask("CLUSTER", "REPLICATE", wanted)
        for replica in replicas:
            wait_for(partial(_in_step, replica), "the replicas")
        for node in nodes:
            wait_for(partial(_is_whole, node), "the cluster")
        where = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])
        yield ClusterTopology(f"redis+cluster://{where}", nodes)


REPLICATED = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
_CLUSTER = (
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    "--cluster-require-full-coverage",
    "no",
    "--cluster-allow-replica-migration",
    "no",
)


def _ok(info: str) -> bool:
    return "cluster_state:ok" in info


def _knows_all(node: Process) -> bool:
    return "cluster_known_nodes:6" in node.ask("CLUSTER", "INFO")


def _in_step(replica: Process) -> bool:
    return bool(replica.ask("ROLE")[3:4] == ["connected"])


def _is_whole(node: Process) -> bool:
    return _ok(node.ask("CLUSTER", "INFO")) and len(node.ask("CLUSTER", "SHARDS")) == 3
