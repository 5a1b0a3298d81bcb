"""Memory of Redis: what the primaries of a client use, and their limit."""

import time
from collections.abc import Sequence

from prometheus_client import Gauge

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError

INTERVAL_S = 15.0
"""Between two readings."""

USED = Gauge("relay_redis_memory_bytes", "Memory that the primaries of a client use, every 15 s.", ["client"])
LIMIT = Gauge(
    "relay_redis_memory_limit_bytes",
    "The memory limit of the primaries of a client, maxmemory; 0: at least one has none.",
    ["client"],
)


class MemoryReader:
    """Reads the memory of a client's servers now and then, and stops where that is refused.

    Args:
        client: Its commands' servers.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._read_at = float("-inf")

    async def read(self, keys: Sequence[str]) -> None:
        """Set the metrics, unless they are new enough.

        Args:
            keys: One for each server.
        """
        if time.monotonic() - self._read_at < INTERVAL_S:
            return
        self._read_at = time.monotonic()
        try:
            found = [memory_of(await self._client.execute("INFO", "memory", key=key)) for key in keys]
        except StoreError as error:
            if str(error).startswith(("NOPERM", "ERR")):
                self._read_at = float("inf")
            return
        limits = [limit for _, limit in found]
        USED.labels(self._client.name).set(sum(used for used, _ in found))
        LIMIT.labels(self._client.name).set(sum(limits) if all(limits) else 0)


def memory_of(info: bytes) -> tuple[int, int]:
    """The used memory and its limit in bytes, from the reply to INFO; 0 where it has none."""
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return int(fields.get(b"used_memory", 0)), int(fields.get(b"maxmemory", 0))
