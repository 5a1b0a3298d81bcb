"""Beat: ticks reach workers, and do not pile up without them."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.redis_server import Server

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = pytest.mark.timeout(150)

QUEUE = "relay:jobs:tick.test.tick"


async def test_ticks_that_wait_do_not_pile_up(jobs: Opened) -> None:
    """While no worker is there each tick replaces the one before; a worker that comes back runs one."""
    async with jobs() as rig:
        beats = await asyncio.gather(rig.start("beat"), rig.start("beat"))

        async def sent() -> float:
            return sum(
                [await rig.metric(beat, "relay_jobs_tasks_sent_total", task="test.tick") for beat in beats]
            )

        await eventually(sent, 20, until=lambda count: count >= 6)
        assert await rig.broker.execute("LLEN", QUEUE) == 1

        await rig.worker()
        await eventually(lambda: rig.store.client.execute("GET", "test:ticks"), 20)


async def test_several_beats_send_each_tick_once(jobs: Opened) -> None:
    """Two of them send no more than one would, and one that is left sends as many."""
    async with jobs() as rig:
        first, second = await asyncio.gather(rig.start("beat"), rig.start("beat"))
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def sent() -> float:
            return sum(
                [
                    await rig.metric(beat, "relay_jobs_tasks_sent_total", task="test.tick")
                    for beat in (first, second)
                ]
            )

        before = await sent()
        count = await eventually(sent, 20, until=lambda count: count >= before + 6)
        # The interval is 0.5 s, and the right to a tick lasts for 0.475 s of it.
        assert count - before <= (loop.time() - began) / 0.475 + 1
        await first.stop()
        alone = await rig.metric(second, "relay_jobs_tasks_sent_total", task="test.tick")
        await eventually(
            lambda: rig.metric(second, "relay_jobs_tasks_sent_total", task="test.tick"),
            20,
            until=lambda count: count >= alone + 3,
        )


async def test_a_broker_that_is_away(jobs: Opened, redis_server: Server) -> None:
    """Beat is not ready, lives, and sends the tick once the broker is there."""
    broker = redis_server.another()
    await asyncio.to_thread(broker.start)
    try:
        async with jobs(jobs_broker_url=broker.url, jobs_broker_timeout_s=2) as rig:
            beat = await rig.start("beat")
            await rig.until_ready(beat)
            await asyncio.to_thread(broker.stop)
            await eventually(lambda: rig.status(beat, "readyz"), 20, until=lambda status: status == 503)
            assert await rig.status(beat, "livez") == 200

            await asyncio.to_thread(broker.start)
            await rig.until_ready(beat)
            await eventually(lambda: rig.broker.execute("LLEN", QUEUE), 20)
    finally:
        await asyncio.to_thread(broker.stop)
