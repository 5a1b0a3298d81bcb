"""A user of the broker alone: what it needs, and that its password reaches no log."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.store import Store

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = pytest.mark.timeout(150)

PASSWORD = "planted-secret-broker"


async def test_a_user_of_the_broker_alone(
    jobs: Opened, open_store: Callable[[], AbstractAsyncContextManager[Store]]
) -> None:
    """With the keys of tasks and no other, tasks and ticks run, nothing is denied, and no log has it."""
    async with open_store() as store:
        await store.client.execute(
            "ACL", "SETUSER", "jobs", "on", f">{PASSWORD}", "~relay:jobs:*", "+@all", "-@dangerous", key=""
        )
        await store.client.execute("ACL", "LOG", "RESET", key="")
        url = store.url.replace("redis://", f"redis://jobs:{PASSWORD}@").removesuffix("/0") + "/1"
    try:
        async with jobs(jobs_broker_url=url) as rig:
            processes = await asyncio.gather(rig.worker(), rig.start("beat"))
            await rig.send("test.note", "one")
            await rig.until_notes("one")
            await eventually(lambda: rig.store.client.execute("GET", "test:ticks"), 20)

            denied = await rig.store.client.execute("ACL", "LOG", key="")
            # The rig's own client asks more.
            assert [entry for entry in map(str, denied) if "name=relay-broker" not in entry] == []
            for process in processes:
                assert PASSWORD not in process.log_tail(1_000_000)
            await rig.store.client.execute("ACL", "DELUSER", "jobs", key="")
            await eventually(
                lambda: rig.status(processes[1], "readyz"), 20, until=lambda status: status == 503
            )
            for process in processes:
                assert PASSWORD not in process.log_tail(1_000_000)
    finally:
        async with open_store() as store:
            await store.client.execute("ACL", "DELUSER", "jobs", key="")
