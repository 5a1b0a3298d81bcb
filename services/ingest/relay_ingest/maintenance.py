"""Upkeep: what a Redis that evicts keys, and workers that came and went, leave in the indexes.

One partition at a time, in bounded steps, by one worker of all: a round takes ``every_s`` for each partition.
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
    "relay_ingest_repaired_total", "Conversations without an owner that no index knew, put up again."
)
REAPED = Counter("relay_ingest_consumers_removed_total", "Names of workers that are gone, removed.")
FAILURES = Counter("relay_ingest_upkeep_failures_total", "Looks at a partition that Redis did not take.")

log = structlog.get_logger(__name__)


class IndexMaintenance:
    """One worker's part in it.

    Args:
        registry: The worker's.
        partitions: All of them.
        settings: The worker's.
        contained: Around each look.
    """

    def __init__(
        self,
        registry: Leases,
        partitions: Sequence[PartitionKeys],
        settings: IngestSettings,
        contained: ErrorBoundary,
    ) -> None:
        self._registry = registry
        self._partitions = partitions
        self._every_s = settings.ingest_upkeep_s
        self._gone_s = settings.ingest_gone_s
        self._contained = contained

    async def run(self) -> None:
        """Look until cancelled."""
        for partition in cycle(self._partitions):
            await asyncio.sleep(self._every_s)
            with self._contained("worker"):
                await self._look(partition)

    async def leave(self) -> None:
        """Remove this worker's own name, where it has no offers left."""
        with self._contained("worker"):
            for partition in self._partitions:
                if not await self._reap(partition, leaving=True):
                    return

    async def _look(self, partition: PartitionKeys) -> None:
        try:
            if not await self._registry.begin_upkeep(partition, self._every_s * len(self._partitions)):
                return
            repaired = await self._registry.repair(partition, self._gone_s)
        except StoreError as error:
            FAILURES.inc()
            log.info("a partition could not be looked at", partition=partition.partition, error=str(error))
            return
        if repaired:
            REPAIRED.inc(repaired)
            log.warning(
                "conversations that no index knew are put up again",
                partition=partition.partition, count=repaired,
            )  # fmt: skip
        await self._reap(partition)

    async def _reap(self, partition: PartitionKeys, *, leaving: bool = False) -> bool:
        try:
            REAPED.inc(await self._registry.reap(partition, self._gone_s, leaving=leaving))
        except StoreError as error:
            FAILURES.inc()
            log.info("names of workers could not be removed", error=str(error))
            return False
        return True
