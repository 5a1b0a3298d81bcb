"""Resources of jobs in this process: what a worker's process opens for the tasks it runs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.rigs.store import Store

from relay_jobs.job import Resources
from relay_settings.jobs import JobsSettings


@asynccontextmanager
async def job_resources(store: Store, **settings: Any) -> AsyncIterator[Resources]:
    """Resources at a store, which jobs can be called with."""
    async with AsyncExitStack() as stack:
        values = {"redis_url": store.url, "partitions": store.keys.partitions, "jobs": True, **settings}
        yield Resources(JobsSettings.load(**values), store.client, store.keys, stack)
