"""The admin port: health, metrics in both formats, and the level of the log."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.rigs.metrics import SERVICES, labelled_counters, metric

from relay_runtime.http import listen
from relay_telemetry import admin, logs
from relay_telemetry.admin import Health
from relay_telemetry.loop_lag import LAG_SECONDS

pytestmark = pytest.mark.integration

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def serving(health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the admin port."""
    async with listen(health.application(), "127.0.0.1", 0) as url, aiohttp.ClientSession(url) as http:
        yield http


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, dict[str, object]]:
    async with http.get(path) as response:
        return response.status, await response.json()


async def test_a_process_lives_while_its_loop_runs_timers_whatever_its_parts_answer() -> None:
    runs = True
    health = Health(lambda: runs)
    health.add("redis", lambda: "not connected")
    async with serving(health) as http:
        assert await get(http, "/livez") == (200, {"status": "alive"})
        runs = False
        assert await get(http, "/livez") == (503, {"status": "the event loop runs no timers"})


async def test_a_part_that_only_a_new_process_repairs_decides_liveness() -> None:
    """Its reason is the answer, beside that of the loop; one that a restart cannot repair is not asked."""
    fault = ""
    health = Health()
    health.require(lambda: fault)
    async with serving(health) as http:
        assert await get(http, "/livez") == (200, {"status": "alive"})
        fault = "consumes nothing"
        assert await get(http, "/livez") == (503, {"status": "consumes nothing"})


async def test_metrics_may_come_from_another_registry() -> None:
    """Such as one that adds the counts of child processes."""
    registry = CollectorRegistry()
    Counter("children_total", "Of other processes.", registry=registry).inc(3)
    health = Health()
    health.expose(registry)
    async with serving(health) as http, http.get("/metrics") as response:
        text = await response.text()

    assert "children_total 3.0" in text
    assert "relay_ready" not in text


async def test_parts_are_asked_once_while_an_answer_is_fresh(monkeypatch) -> None:
    """And a drain shows at once, whatever is cached."""
    monkeypatch.setattr(admin, "CACHE_S", 1e9)
    asked = 0

    def readiness() -> str:
        nonlocal asked
        asked += 1
        return ""

    health = Health()
    health.add("redis", readiness, lambda: "slow")
    async with serving(health) as http:
        for _ in range(3):
            assert await get(http, "/readyz") == (200, {"status": "ready", "degraded": {"redis": "slow"}})
        assert asked == 1

        assert metric(admin.DRAINING) == 0
        health.draining = True
        status, body = await get(http, "/readyz")
        assert (status, body["reasons"]) == (503, {"process": "draining"})
        assert metric(admin.DRAINING) == 1
        assert metric(admin.READY) == 0
    health.draining = False


async def test_an_answer_is_asked_for_again_when_it_is_old(monkeypatch) -> None:
    monkeypatch.setattr(admin, "CACHE_S", 0.0)
    fault = ""
    health = Health()
    health.add("redis", lambda: fault)

    assert not health.reasons()
    fault = "not connected"
    assert health.reasons() == {"redis": "not connected"}


async def test_a_scraper_that_accepts_openmetrics_has_exemplars(no_blocking) -> None:
    """Every metric of every service is valid in that format; in the text format there are no exemplars."""
    no_blocking.deactivate()  # the metrics of the process are read from /proc
    for package in SERVICES:
        labelled_counters(package)
    LAG_SECONDS.observe(0.003, TRACE_ID)
    async with serving(Health()) as http:
        async with http.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
            assert response.content_type == "application/openmetrics-text"
            families = list(text_string_to_metric_families(await response.text()))  # type: ignore[no-untyped-call]
        async with http.get("/metrics") as response:
            assert response.content_type == "text/plain"
            assert TRACE_ID not in await response.text()

    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert ({"trace_id": TRACE_ID}, 0.003) in [(found.labels, found.value) for found in exemplars]


async def test_the_demand_of_a_service_that_has_one() -> None:
    """Its numbers; 503 while they are not known, so that an autoscaler falls back; 404 at other services."""
    numbers: dict[str, float] | None = None
    health = Health()
    async with serving(health) as http:
        assert (await get(http, "/demand"))[0] == 404
        health.expose_demand(lambda: numbers)
        assert await get(http, "/demand") == (503, {"error": "the demand is not known now"})
        numbers = {"needed_workers": 1.5}
        assert await get(http, "/demand") == (200, numbers)


@pytest.fixture
def as_json(as_a_service):
    """``as_json()`` makes this process log as a service does; its levels are back behind the test."""
    before = [logging.getLogger(name).level for name in ("", "asyncio")]
    yield lambda: as_a_service("json")
    for name, number in zip(("", "asyncio"), before, strict=True):
        logging.getLogger(name).setLevel(number)


async def test_the_level_of_the_log_changes_while_the_process_runs(as_json, capsys) -> None:
    """Each change is a line, to whichever level; chatty libraries stay at their own."""
    as_json()
    async with serving(Health()) as http:
        for to in ("error", "info", "debug", "debug"):
            async with http.put("/loglevel", json={"level": to}) as response:
                assert (response.status, await response.json()) == (200, {"level": to})
            assert await get(http, "/loglevel") == (200, {"level": to})
            assert logging.getLogger("asyncio").level == max(logging.WARNING, logging.getLogger().level)

    await asyncio.to_thread(logs.flush)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    changes = [(line["before"], line["after"]) for line in lines if line["event"] == "log level changed"]
    assert [after for _, after in changes][-3:] == ["error", "info", "debug"]


@pytest.mark.parametrize(
    "body", [b"", b"debug", b'{"level": "loud"}', b'{"level": "debug", "for_s": 5}', b"[]"]
)
async def test_another_body_changes_nothing(as_json, body) -> None:
    as_json()
    async with serving(Health()) as http:
        before = await get(http, "/loglevel")
        async with http.put("/loglevel", data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]
        assert await get(http, "/loglevel") == before
