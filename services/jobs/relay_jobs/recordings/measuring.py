"""Measuring: how many recordings are unfinished, and how late workers are. Each dispatcher measures it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from relay_jobs.consequences import Consequence
from relay_jobs.job import Resources
from relay_jobs.recordings.metrics import OVERDUE_SECONDS, UNFINISHED
from relay_jobs.recordings.plan import plan
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_streams.recordings import Recordings

_MEASURE_S = 5.0
_EXAMINED = 100
"""The recordings of a partition that are longest due."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_consequence(resources: Resources) -> AsyncIterator[Consequence]:
    """The part's consequence; while it is open, the recordings are measured."""
    async with TaskScope() as scope:
        scope.spawn(_measure(resources), name="recordings-measure")
        yield plan


async def _measure(resources: Resources) -> None:
    recordings = Recordings(resources.client, resources.keys, claim_ms=0)
    while True:
        try:
            unfinished, overdue_s = await measure(resources, recordings)
        except StoreError as error:
            log.info("recordings not measured", error=str(error))
        else:
            UNFINISHED.set(unfinished)
            OVERDUE_SECONDS.set(overdue_s)
        await asyncio.sleep(_MEASURE_S)


async def measure(resources: Resources, recordings: Recordings) -> tuple[int, float]:
    """Count the unfinished recordings, and the seconds for which one with work has been due.

    Raises:
        StoreError: Redis cannot be read now.
    """
    unfinished, overdue_ms, now_ms = 0, 0, time.time_ns() // 1_000_000
    for number in range(resources.keys.partitions):
        partition = resources.keys.shared(number)
        unfinished += await recordings.count(partition)
        due = await recordings.due(partition, _EXAMINED)
        overdue_ms = max([overdue_ms, *(now_ms - each.due_ms for each in due if each.has_work)])
    return unfinished, overdue_ms / 1000
