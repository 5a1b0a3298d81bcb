"""The tap sees what is published whatever happens to the store."""

import uvloop
from redis.asyncio import RedisCluster
from tests.faults.tap import Tap, key
from tests.rigs.need import need
from tests.rigs.redis_topologies import ClusterTopology, cluster_topology, slot_of

from relay_redis.local_server import distribution_binary
from relay_wire.frame import HEADER_BYTES


def test_the_tap_outlives_any_node_of_a_cluster() -> None:
    """Also the one that its client asks where the keys of a command are."""
    with cluster_topology(need(distribution_binary(), "redis-server")) as cluster:
        uvloop.run(_lose_the_node_that_is_asked(cluster))


async def _lose_the_node_that_is_asked(cluster: ClusterTopology) -> None:
    async with Tap(cluster.url) as tap:
        probe: RedisCluster = tap._client
        await probe.initialize()
        asked = next(node for node in cluster.processes if node.port == probe.commands_parser.node.port)
        conversation = await _served_elsewhere(cluster, asked.port)
        tape = tap.follow(conversation)
        asked.kill()
        stream = key(conversation, "down")
        home = await cluster.primary_of(slot_of(stream))
        await home.execute("XADD", stream, "1-1", "f", bytes(HEADER_BYTES))
        await tap.read_again()
        assert list(tape.publications) == [(1, 1)]
        assert tap.outages


async def _served_elsewhere(cluster: ClusterTopology, port: int) -> str:
    """A conversation whose frames are not on this node."""
    number = 0
    while (await cluster.primary_of(slot_of(key(f"talk-{number}", "down")))).port == port:
        number += 1
    return f"talk-{number}"
