"""Whether the outbox is in use, as each process that appends to it exports it."""

from typing import Any

import pytest
from tests.rigs.control import open_control
from tests.rigs.gateway import open_gateways
from tests.rigs.ingest import open_workers

from relay_streams.outbox_metrics import ENABLED


@pytest.mark.parametrize("jobs", [True, False])
@pytest.mark.parametrize("service", ["control", "gateway", "ingest"])
async def test_a_process_exports_whether_it_stores_events(open_store, service, jobs) -> None:
    """From its start: an alert compares it with the dispatchers that are ready."""
    ENABLED.set(not jobs)
    async with open_store() as store:
        opened: Any
        match service:
            case "control":
                opened = open_control(store, jobs=jobs)
            case "gateway":
                opened = open_gateways(store, jobs=jobs)
            case _:
                opened = open_workers(store, jobs=jobs)
        async with opened as rig:
            if service == "ingest":
                async with rig.worker():
                    pass
        assert ENABLED._value.get() == jobs
