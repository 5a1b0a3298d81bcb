"""Upkeep: repairs indexes after an eviction of keys by Redis, and removes consumers of former workers.

One partition at a time, in bounded steps, by one worker of the relay: a round takes ``every_s`` for each
partition.
"""

import asyncio
from collections.abc import Sequence
from itertools import cycle

import structlog
from prometheus_client import Counter

from relay_ingest.error_boundary import ErrorBoundary
from relay_redis.errors import StoreError
from relay_settings.ingest import IngestSettings
from relay_streams.keys import PartitionKeys
from relay_streams.leases import Leases

REPAIRED = Counter(
    "relay_ingest_repaired_total",
    "Conversations without an owner that no index listed, put back into their queue.",
)
REAPED = Counter(
    "relay_ingest_consumers_removed_total",
    "Consumers removed from the queues, of workers that no longer exist.",
)
FAILURES = Counter("relay_ingest_upkeep_failures_total", "Failed upkeep of a partition.")

log = structlog.get_logger(__name__)


class IndexUpkeep:
    """The upkeep, as one worker runs it.

    Args:
        leases: The worker's leases.
        partitions: All partitions.
        settings: The worker's.
        boundary: Around each partition's upkeep.
    """

    def __init__(
        self,
        leases: Leases,
        partitions: Sequence[PartitionKeys],
        settings: IngestSettings,
        boundary: ErrorBoundary,
    ) -> None:
        self._leases = leases
        self._partitions = partitions
        self._every_s = settings.ingest_upkeep_s
        self._gone_s = settings.ingest_gone_s
        self._boundary = boundary

    async def run(self) -> None:
        """Maintain one partition after the other. Runs until cancelled."""
        for partition in cycle(self._partitions):
            await asyncio.sleep(self._every_s)
            with self._boundary("worker"):
                await self._maintain(partition)

    async def leave(self) -> None:
        """Remove this worker's own consumer, where it has no assignments left."""
        with self._boundary("worker"):
            for partition in self._partitions:
                if not await self._reap(partition, leaving=True):
                    return

    async def _maintain(self, partition: PartitionKeys) -> None:
        try:
            if not await self._leases.begin_upkeep(partition, self._every_s * len(self._partitions)):
                return
            repaired = await self._leases.repair(partition, self._gone_s)
        except StoreError as error:
            FAILURES.inc()
            log.info("upkeep failed", partition=partition.partition, error=str(error))
            return
        if repaired:
            REPAIRED.inc(repaired)
            log.warning(
                "conversations that no index listed are queued again",
                partition=partition.partition, count=repaired,
            )  # fmt: skip
        await self._reap(partition)

    async def _reap(self, partition: PartitionKeys, *, leaving: bool = False) -> bool:
        try:
            REAPED.inc(await self._leases.reap(partition, self._gone_s, leaving=leaving))
        except StoreError as error:
            FAILURES.inc()
            log.info("consumer removal failed", error=str(error))
            return False
        return True
