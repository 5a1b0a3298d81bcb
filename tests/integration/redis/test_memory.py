"""Memory of Redis: what the metrics show of one server and of a cluster."""

import pytest
from tests.rigs.metrics import metric
from tests.rigs.need import need
from tests.rigs.redis_topologies import cluster_topology

from relay_redis import memory
from relay_redis.client import RedisClient
from relay_redis.local_server import distribution_binary
from relay_redis.memory import MemoryReader, memory_of
from relay_redis.metrics import REFUSALS
from relay_streams.scripts import SCHEMA


def shown(client: str) -> tuple[float, float]:
    """The memory, and its limit."""
    return metric(memory.USED, client=client), metric(memory.LIMIT, client=client)


def test_the_numbers_of_a_reply() -> None:
    reply = b"# Memory\r\nused_memory:2097152\r\nused_memory_human:2.00M\r\nmaxmemory:0\r\n"
    assert memory_of(reply) == (2097152, 0)
    assert memory_of(b"") == (0, 0)


async def test_one_server(open_store, monkeypatch) -> None:
    """It is read when the last reading is old enough."""
    async with open_store() as store, RedisClient(store.url, SCHEMA, name="memory") as client:
        await client.ready()
        reader = MemoryReader(client)
        await store.client.execute("CONFIG", "SET", "maxmemory", "100mb")
        try:
            await reader.read(["k"])
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        used, limit = shown("memory")
        await reader.read(["k"])
        assert shown("memory") == (used, limit)
        assert used > 0
        assert limit == 100 * 2**20

        monkeypatch.setattr(memory, "INTERVAL_S", 0.0)
        await reader.read(["k"])
        assert shown("memory")[1] == 0


async def test_where_it_is_refused_nobody_asks_again(open_store, monkeypatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL_S", 0.0)
    before = metric(REFUSALS, client="memoryless", reason="NOPERM")
    async with open_store() as store:
        await store.client.execute("ACL", "SETUSER", "default", "-info")
        try:
            async with RedisClient(store.url, SCHEMA, name="memoryless") as client:
                await client.ready()
                reader = MemoryReader(client)
                for _ in range(3):
                    await reader.read(["k"])
        finally:
            await store.client.execute("ACL", "SETUSER", "default", "+info")

    assert shown("memoryless") == (0, 0)
    assert metric(REFUSALS, client="memoryless", reason="NOPERM") == before + 1


@pytest.mark.timeout(120)
async def test_a_cluster_is_the_sum_of_its_primaries(no_blocking) -> None:
    no_blocking.deactivate()
    with cluster_topology(need(distribution_binary(), "redis-server")) as cluster:
        async with RedisClient(cluster.url, SCHEMA, name="memory-cluster") as client:
            await client.ready()
            keys = client.one_per_server([f"{{{n}}}" for n in range(64)])
            await MemoryReader(client).read(keys)
            infos = [memory_of(await client.execute("INFO", "memory", key=key))[0] for key in keys]

    used, limit = shown("memory-cluster")
    assert len(keys) == 3
    assert used > 2 * min(infos)
    assert limit == 0
