"""A Redis Cluster of a few primaries without replicas: the least that spreads keys over processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.rigs.redis_process import Process, free_port, wait_for, workshop

_SLOTS = 16384
_ARGUMENTS = ("--save", "", "--appendonly", "no", "--cluster-enabled", "yes")


@contextmanager
def small_cluster(primaries: int) -> Iterator[tuple[str, list[Process]]]:
    """Its URL, and its nodes. Blocks while it starts, about a second."""
    with workshop(None) as start:
        nodes = [start("node", *_ARGUMENTS, "--cluster-port", str(free_port())) for _ in range(primaries)]
        for index, node in enumerate(nodes):
            first, last = (_SLOTS * at // primaries for at in (index, index + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in nodes[1:]:
            bus = int(node.ask("CONFIG", "GET", "cluster-port")[1])
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            wait_for(partial(_whole, node, primaries), "the cluster")
        where = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield f"redis+cluster://{where}", nodes


def _whole(node: Process, primaries: int) -> bool:
    info = node.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in info and f"cluster_size:{primaries}" in info
