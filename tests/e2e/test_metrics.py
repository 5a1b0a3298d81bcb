"""Metrics as Prometheus scrapes them, from processes that have just started."""

from collections.abc import AsyncIterator
from itertools import product

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.metrics import SERVICES, labelled_counters
from tests.rigs.redis_server import Server

from relay_telemetry.counter import OPEN, declared

IDLE = {"relay_redis_redirects_total", "relay_redis_map_refreshes_total"}
"""Counters by clients of a cluster, which there is none of here."""

Series = dict[tuple[str, ...], float]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_metrics")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server) -> AsyncIterator[Relay]:
    """One relay, which the first test finds as it has started."""
    async with open_relay(redis_server.url, workers=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def counters() -> dict[str, Counter]:
    """By name, every counter with labels."""
    return {name: one for service in SERVICES for name, one in labelled_counters(service).items()}


async def test_every_series_exists_at_zero_from_the_start(r: Relay, counters) -> None:
    """So that ``increase()`` of a first failure is 1: every declared value, and every client by its name."""
    for child in r.stack.children:
        exposed = await _scrape(r.http, child.admin, counters)
        assert exposed, child.name
        for name, series in exposed.items():
            assert set(series) == _expected(counters[name], series), (child.name, name)
            assert series or name in IDLE, f"{child.name}: {name} has no series"
            assert not any(series.values()), (child.name, name, series)


async def test_no_series_comes_later_and_no_tidy_close_is_abnormal(
    r: Relay, counters, watching, speech
) -> None:
    """A turn, a viewer that leaves, another that sees the end; a request that is refused."""
    conversation = await r.converse()
    seen, leaving = await r.watch(conversation), await r.watch(conversation, 1)
    async with r.http.get(f"{r.stack.control.url}/v1/conversations/{conversation}") as refused:
        assert refused.status == 401
    async with watching(seen):
        await r.backend.post_turn(conversation, speech)
        await leaving.viewer.__aexit__(None, None, None)
        await r.backend.end(conversation)

    for child in r.stack.children:
        for name, series in (await _scrape(r.http, child.admin, counters)).items():
            assert set(series) == _expected(counters[name], series), (child.name, name)
    assert await r.metric(r.stack.gateways, "relay_gateway_closes_total", code="normal") >= 1
    assert await r.metric(r.stack.gateways, "relay_gateway_closes_total", code="abnormal") == 0


async def _scrape(http: ClientSession, admin: str, counters: dict[str, Counter]) -> dict[str, Series]:
    """By name, the series of each counter with labels that a process exposes."""
    async with http.get(f"{admin}/metrics") as response:
        page = await response.text()
    exposed: dict[str, Series] = {}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total"
        if name in counters:
            labels = counters[name]._labelnames
            exposed[name] = {
                tuple(sample.labels[label] for label in labels): sample.value
                for sample in family.samples
                if sample.name == name
            }
    return exposed


def _expected(counter: Counter, series: Series) -> set[tuple[str, ...]]:
    """What open labels are named here, with every combination of the declared values of the others."""
    labels = declared(counter)
    named = {
        tuple(value for value, known in zip(values, labels.values(), strict=True) if known == OPEN)
        for values in series
    }
    expected = set()
    for names in named:
        rest = iter(names)
        expected |= set(product(*(known if known != OPEN else (next(rest),) for known in labels.values())))
    return expected
