"""Sentinels as the broker: tasks run, also after a fail-over."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.redis_topologies import SentinelTopology, sentinel_topology

from relay_jobs.sender import Message

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = [pytest.mark.timeout(150), pytest.mark.xdist_group("test_topologies")]


@pytest.fixture
def sentinels() -> Iterator[SentinelTopology]:
    """A primary, two replicas and three sentinels."""
    with sentinel_topology() as topology:
        yield topology


async def test_tasks_run_after_a_fail_over_of_the_broker(sentinels: SentinelTopology, jobs: Opened) -> None:
    """The broker's primary is killed: the next task that is sent to its successor runs within 30 s."""
    async with jobs(jobs_broker_url=sentinels.url, jobs_broker_timeout_s=2) as rig:
        worker = await rig.worker()
        await rig.send("test.note", "before")
        await rig.until_notes("before")
        old = await sentinels.primary()
        old.kill()

        async def sent() -> bool:
            await rig.sender.send([Message("test.note", ("after",))])
            return not rig.sender.failure

        await eventually(sent, 30)
        await rig.until_notes("after", within_s=30)
        await rig.until_ready(worker)
        assert await rig.status(worker, "livez") == 200
