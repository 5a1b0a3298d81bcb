"""What a real Prometheus answers after a session with deaths: dashboards, rules, and totals that agree."""

import math
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from scripts.dashboards.saved import SavedQuery, boards
from tests.e2e.session import KEPT, Session, session
from tests.rigs.prometheus import RULES

from relay_redis.client import RedisClient
from relay_redis.local_server import LocalServer
from relay_streams.scripts import SCHEMA

INTERVAL = "5s"
"""For ``$__rate_interval``: four scrapes and one more."""
SHOWN = "5m"
"""For ``$__range``: longer than the session."""
WITHOUT_DATA = {
    "Cluster: commands redirected, and requests for the slot map": "there is no cluster",
}
"""Panels that have no data after the session, and why that is right."""
NOT_RUNNING = {"relay-jobs"}
"""Dashboards of processes that the session does not have; their expressions are evaluated all the same."""

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(redis_server: LocalServer) -> AsyncIterator[Session]:
    """One session for all tests; its collector is dead."""
    async with RedisClient(redis_server.url, SCHEMA, name="test") as client:
        await client.execute("FLUSHALL")
    settings = {"RELAY_OTLP_ENDPOINT": "http://127.0.0.1:9", "RELAY_TRACE_RATIO": "1"}
    async with session(redis_server.url, settings) as one:
        yield one


async def test_every_panel_answers_and_has_the_data_it_should(ran: Session) -> None:
    """Each query of each panel over the session, as Grafana sends it."""
    empty = {
        (board.uid, panel.title)
        for board in boards()
        for panel in board.panels
        for query in panel.queries
        if not await _has_data(ran, query)
    }
    assert {title for uid, title in empty if uid not in NOT_RUNNING} == WITHOUT_DATA.keys()


async def test_every_rule_is_evaluated(ran: Session) -> None:
    """All that the files have, without an error: in its group, unless that was not due yet, and by itself."""
    rules = await ran.prometheus.rules()
    files = [path.read_text("utf-8") for path in RULES.glob("*.yaml")]

    assert len(rules) == sum(len(re.findall(r"^ *-? *expr:", text, re.MULTILINE)) for text in files)
    assert not [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"]
    for rule in rules:
        await ran.prometheus.over(rule["query"], ran.start, ran.end)


async def test_the_viewers_miss_nothing(ran: Session) -> None:
    """What the totals are compared with is whole by itself."""
    verdict = ran.verdict()

    assert verdict.whole
    assert verdict.total("gaps") == 0
    assert verdict.total("checked") == ran.received()
    assert ran.received() == sum(len(one.tape.publications) * len(one.viewers) for one in ran.conversations)


async def test_published_is_what_the_store_had(ran: Session) -> None:
    """By kind, the dead owner's frames among them."""
    assert await _last(ran, "relay_publish_frames_total", "kind") == ran.published()


async def test_delivered_and_replayed_are_what_viewers_received(ran: Session) -> None:
    """Of all gateways, the dead one among them; nothing is missing, so that there is no gap to explain."""
    delivered = await _last(ran, "relay_gateway_deliveries_total", "job")
    replayed = await _last(ran, "relay_gateway_replayed_frames_total", "source")

    assert sum(delivered.values()) + sum(replayed.values()) == ran.received()
    assert replayed["stream"] == len(ran.viewers()), "each viewer's first frame is older than the viewer"
    assert not await _last(ran, "relay_gateway_gaps_total", "job")


async def test_gateways_read_what_was_published(ran: Session) -> None:
    """Each frame once for each gateway, but a conversation's first one, which is older than the feed."""
    read = await _last(ran, "relay_gateway_frames_total", "instance")
    killed, other = (gateway.name for gateway in ran.stack.gateways)

    assert read == {
        killed: ran.read_by_killed - len(ran.conversations),
        other: sum(ran.published().values()) - len(ran.conversations),
    }


async def test_turns_by_outcome_are_what_viewers_saw(ran: Session) -> None:
    """Also that of the turn whose owner died."""
    assert await _last(ran, "relay_ingest_turns_total", "outcome") == ran.outcomes()
    assert ran.outcomes() == {"complete": 5, "interrupted": 1, "audio_only": 1}


async def test_closes_are_what_happened_to_the_sockets(ran: Session) -> None:
    """One was cut, the dead gateway's were not closed by it, and the others saw the end."""
    assert await _last(ran, "relay_gateway_closes_total", "code") == {
        "abnormal": 1,
        "conversation_ended": len(ran.viewers()),
    }


async def test_the_dead_are_down(ran: Session) -> None:
    scraped = await ran.prometheus.scraped()

    assert sorted(scraped.values()) == [False] * 2 + [True] * 4


async def test_exemplars_name_traces(ran: Session) -> None:
    """Those of the panels that show them; every turn of the session is sampled."""
    found = [
        exemplar["labels"]["trace_id"]
        for board in boards()
        for panel in board.panels
        for query in panel.queries
        if query.exemplar
        for exemplar in await ran.prometheus.exemplars(query.sent(INTERVAL, SHOWN), ran.start, ran.end)
    ]

    assert found
    assert all(re.fullmatch(r"[0-9a-f]{32}", trace) and int(trace, 16) for trace in found)


async def _last(ran: Session, metric: str, label: str) -> dict[str, float]:
    """By label, the last value of every process, dead ones too."""
    return await ran.prometheus.values(f"last_over_time({metric}[{KEPT}])", label)


async def _has_data(ran: Session, query: SavedQuery) -> bool:
    found = await ran.prometheus.over(query.sent(INTERVAL, SHOWN), ran.start, ran.end)
    return any(not math.isnan(value) for series in found for _, value in series.values)
