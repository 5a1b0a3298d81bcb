"""Nodes that announce addresses of another network: clients reach them at the addresses of a setting."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.need import need
from tests.rigs.proxy import Proxy
from tests.rigs.redis_topologies import (
    ClusterTopology,
    Process,
    SentinelTopology,
    cluster_topology,
    sentinel_topology,
    slot_of,
)

from relay_redis.client import RedisClient
from relay_redis.errors import Unavailable
from relay_redis.local_server import distribution_binary
from relay_redis.pubsub import PubSub
from relay_settings.store import StoreSettings
from relay_streams.scripts import SCHEMA

INSIDE = "redis.inside.invalid"
"""No client can look it up."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterTopology]:
    """A cluster whose nodes announce a host name that only they could use."""
    with cluster_topology(need(distribution_binary(), "redis-server")) as topology:
        for node in topology.processes:
            node.ask("CONFIG", "SET", "cluster-announce-hostname", INSIDE)
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
        yield topology


@pytest.fixture(scope="module")
def sentinels() -> Iterator[SentinelTopology]:
    with sentinel_topology(need(distribution_binary(), "redis-server")) as topology:
        yield topology


@asynccontextmanager
async def forwarders(servers: list[Process]) -> AsyncIterator[dict[int, Proxy]]:
    """A port of another network for each server, by the server's port."""
    async with AsyncExitStack() as stack:
        yield {
            server.port: await stack.enter_async_context(Proxy("127.0.0.1", server.port))
            for server in servers
        }


async def answers(client: RedisClient, key: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.execute("SET", key, "x")
                assert await client.execute("GET", key) == b"x"
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_cluster_behind_forwarders(cluster, eventually) -> None:
    """The addresses in SLOTS, MOVED and ASK are mapped by the setting, for commands and pub/sub alike."""
    async with forwarders(cluster.processes) as ports:
        pairs = ",".join(f"{INSIDE}:{port}=127.0.0.1:{proxy.port}" for port, proxy in ports.items())
        seeds = ",".join(f"127.0.0.1:{proxy.port}" for proxy in ports.values())
        settings = StoreSettings.load(redis_url=f"redis+cluster://{seeds}", redis_node_addresses=pairs)
        keys = [f"relay:{{p{number:02d}}}:x" for number in range(16)]
        received: set[bytes] = set()
        async with (
            RedisClient(settings.store_url, SCHEMA, name="test") as client,
            PubSub(settings.store_url, lambda stream, _payload: received.add(stream), name="test") as pubsub,
        ):
            for key in keys:
                pubsub.subscribe(key)
                await answers(client, key)
            await eventually(lambda: received == {key.encode() for key in keys})

            slot = slot_of(keys[0])
            source = await cluster.primary_of(slot)
            [target, *_] = [node for node in await cluster.primaries() if node is not source]
            assert await cluster.begin_migration(slot, target) is source
            await answers(client, "relay:{p00}:made-at-the-target")  # ASK
            await cluster.move_keys(slot, source, target)
            await cluster.end_migration(slot, source, target)
            await answers(client, keys[0])  # MOVED
            await cluster.migrate(slot, source)


async def test_a_cluster_that_cannot_be_reached_without(cluster) -> None:
    """The announced name is the one thing that is wrong."""
    async with RedisClient(cluster.url, SCHEMA, name="test", timeout_s=0.5) as client:
        with pytest.raises(Unavailable):
            await client.execute("GET", "x")


async def test_a_primary_that_sentinels_know_by_another_address(sentinels) -> None:
    """Before and after a fail-over."""
    async with forwarders(sentinels.data) as ports:
        pairs = ",".join(f"127.0.0.1:{port}=localhost:{proxy.port}" for port, proxy in ports.items())
        settings = StoreSettings.load(redis_url=sentinels.url, redis_node_addresses=pairs)
        async with RedisClient(settings.store_url, SCHEMA, name="test", timeout_s=2) as client:
            await answers(client, "x")
            first = await sentinels.primary()
            assert ports[first.port].accepted > 0
            second = await sentinels.fail_over()

            async def accepted() -> int:
                await answers(client, "x")
                return ports[second.port].accepted

            await eventually(accepted, 20)
            await answers(client, "x")
