"""Report load: a worker stores how many conversations it owns, and reads the sum of all workers."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, three_numbers
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

REPORT_LOAD: Final = load("report_load", three_numbers)


class Load(NamedTuple):
    """The conversations that the workers of a relay own."""

    active: int
    """Those with recent activity."""
    owned: int
    """All of them."""
    workers: int
    """How many workers have reported."""


def report_load(keys: PartitionKeys, *, worker: str, active: int, owned: int, keep_ms: int) -> Call[Load]:
    """Store a worker's load for ``keep_ms``, in the same partition for every worker; read that of all."""
    return Call(REPORT_LOAD, (keys.loads,), (worker, active, owned, keep_ms), _read)


def _read(reply: Reply) -> Load:
    return Load(*reply)
