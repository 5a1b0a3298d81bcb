"""View: what is computed of the relay from the scrapes of its processes."""

import re
from pathlib import Path

import pytest
from tests.rigs.imports import ROOT

from relay_cli.top import view as module
from relay_cli.top.history import Answer, History
from relay_cli.top.scraped import Scraped
from relay_cli.top.view import MOTION_LEAD, Jobs, View, view
from relay_wire.frame import HEADER_BYTES

INGEST = """\
relay_build_info{{service="ingest",version="1.0"}} 1
relay_ready 1
relay_ingest_conversations 3
relay_ingest_active_conversations 2
relay_ingest_unowned_conversations 4
relay_ingest_unowned_seconds 7
relay_publish_bytes_total{{kind="audio"}} {bytes}
relay_publish_frames_total{{kind="audio"}} {frames}
relay_ingest_turns_total{{outcome="complete"}} {turns}
relay_ingest_turns_total{{outcome="failed"}} 0
relay_motion_sessions 2
relay_motion_opened_total {turns}
relay_motion_failures_total{{code="creditsExhausted",phase="held"}} {turns}
relay_motion_connected_seconds_total 120
relay_motion_credits_total 20
relay_motion_lead_seconds_bucket{{le="-1"}} 0
relay_motion_lead_seconds_bucket{{le="0"}} {turns}
relay_motion_lead_seconds_bucket{{le="2"}} {frames}
relay_motion_lead_seconds_bucket{{le="+Inf"}} {frames}
relay_ingest_uplink_oldest_seconds 0.5
process_cpu_seconds_total {cpu}
process_resident_memory_bytes 1000
relay_loop_lag_max_seconds 0.01
"""
GATEWAY = """\
relay_build_info{{service="gateway",version="1.0"}} 1
relay_ready 1
relay_gateway_viewers{{protocol="native"}} 5
relay_gateway_viewers{{protocol="avatarkit_json"}} 1
relay_gateway_catching_up 1
relay_gateway_closes_total{{code="slow_consumer"}} {n}
relay_gateway_closes_total{{code="normal"}} 50
relay_gateway_gaps_total {n}
relay_gateway_unsent_bytes 4096
relay_gateway_uplink_dropped_total{{reason="forbidden"}} {n}
relay_gateway_latency_seconds_bucket{{le="0.05"}} {n}
relay_gateway_latency_seconds_bucket{{le="+Inf"}} {n}
process_cpu_seconds_total {n}
relay_loop_lag_max_seconds 0.3
"""
OF_A_SECOND = 32_000 + 25 * HEADER_BYTES


def ingest(step: int) -> Answer:
    text = INGEST.format(bytes=step * 10 * OF_A_SECOND, frames=step * 250, turns=step * 2, cpu=step)
    return Answer(Scraped.parse(text))


def gateway(step: int, **more: object) -> Answer:
    return Answer(Scraped.parse(GATEWAY.format(n=step * 3)), **more)


def shown(*rounds: dict[str, Answer], seconds: float = 10.0) -> View:
    history = History(60.0)
    observed = [history.add(index * seconds, answers) for index, answers in enumerate(rounds)]
    return view(observed[-1])


@pytest.fixture
def two_rounds() -> View:
    return shown(
        {"i1": ingest(0), "i2": ingest(0), "g": gateway(0)},
        {"i1": ingest(1), "i2": ingest(1), "g": gateway(1)},
    )


def test_conversations(two_rounds: View) -> None:
    """Sums over the workers, but of what waits for an owner, which every worker measures of all."""
    found = two_rounds.conversations

    assert (found.owned, found.active) == (6, 4)
    assert (found.unowned, found.unowned_s) == (4, 7)
    assert found.speech_s_per_s == pytest.approx(2.0)
    assert found.turns == {"complete": 4}
    assert two_rounds.interval_s == 10.0


def test_motion_sessions(two_rounds: View) -> None:
    """Failures are those of the interval, by code."""
    found = two_rounds.motion

    assert found.sessions == 4
    assert found.opened_per_minute == pytest.approx(24.0)
    assert found.failures == {"creditsExhausted": 4}
    assert (found.connected_minutes, found.credits) == (4, 40)


def test_viewers(two_rounds: View) -> None:
    """Of closes only the slow ones, of protocols those that have viewers."""
    found = two_rounds.viewers

    assert (found.open, found.catching_up, found.unsent_bytes) == (6, 1, 4096)
    assert (found.closed_slow, found.gaps) == (3, 3)
    assert found.protocols == {"native": 5, "avatarkit_json": 1}
    assert found.uplink_dropped == {"forbidden": 3}


def test_jobs() -> None:
    """What every dispatcher reads of the whole relay counts once; tasks are those of the interval."""

    def dispatcher(step: int) -> Answer:
        lines = ("relay_jobs_outbox_entries 7", "relay_jobs_outbox_oldest_seconds 3.5")
        return Answer(Scraped.parse("\n".join((*lines, f"relay_jobs_outbox_discarded_total {step * 4}\n"))))

    def worker(step: int) -> Answer:
        return Answer(
            Scraped.parse(
                f'relay_jobs_tasks_ended_total{{task="usage.settle",outcome="done"}} {step * 5}\n'
                f'relay_jobs_tasks_ended_total{{task="usage.settle",outcome="failed"}} {step}\n'
                "relay_jobs_recordings_overdue_seconds 90\n"
            )
        )

    rounds = [{"d1": dispatcher(n), "d2": dispatcher(n), "w1": worker(n), "w2": worker(n)} for n in (0, 1)]
    assert shown(*rounds).jobs == Jobs(7, 3.5, 4, {"done": 10, "failed": 2}, 90)


def test_without_the_jobs_service_nothing_is_shown_of_it(two_rounds: View) -> None:
    assert two_rounds.jobs is None


def test_lags(two_rounds: View) -> None:
    """The p99 of a lead is what 99 % exceed; a gauge is the worst of all processes."""
    assert two_rounds.lag("relay latency").p99_s == pytest.approx(0.0495)
    assert two_rounds.lag("uplink").worst_s == 0.5
    assert two_rounds.lag("loop lag").worst_s == 0.3
    assert two_rounds.lag(MOTION_LEAD).p99_s == pytest.approx(0.004, abs=0.01)
    assert two_rounds.lag("first motion").p50_s is None


def test_every_series_is_one_that_a_process_exports() -> None:
    """A metric with another name would be a dash forever."""
    source = Path(module.__file__).read_text()
    catalogue = (ROOT / "docs/reference/metrics.md").read_text()
    read = set(re.findall(r'"(relay_\w+)"', source))

    assert read
    assert {name for name in read if f"`{name}`" not in catalogue} == set()


def test_what_no_process_exports_is_none() -> None:
    """An older process has fewer series, and one round has no rates."""
    found = shown({"x": Answer(Scraped.parse("up 1\n"))})

    assert found.interval_s == 0.0
    assert found.conversations.owned is None
    assert found.conversations.speech_s_per_s is None
    assert found.motion.opened_per_minute is None
    assert found.motion.connected_minutes is None
    assert found.viewers.gaps is None
    assert found.processes[0].service == ""
    assert found.processes[0].work is None
    assert found.processes[0].cpu is None


def test_processes_are_sorted_by_what_is_wrong() -> None:
    """Away, not ready, draining, degraded, then by loop lag and CPU."""
    unready = Answer(Scraped.parse("relay_ready 0\n"))
    draining = gateway(1, ready=False, reasons={"process": "draining", "redis": "gone"})
    marked = Answer(Scraped.parse("relay_draining 1\n"))
    degraded = gateway(1, ready=True, degraded={"certificate": "expires"})
    reasons = gateway(1, ready=False, reasons={"redis": "NOPERM"})
    found = shown({
        "ready": ingest(1), "degraded": degraded, "draining": draining, "marked": marked, "unready": unready,
        "reasons": reasons, "away": Answer(away="Connection refused"), "late": gateway(1),
    })  # fmt: skip

    assert [process.target for process in found.processes] == [
        "away", "reasons", "unready", "draining", "marked", "degraded", "late", "ready"
    ]  # fmt: skip
    by_name = {process.target: process for process in found.processes}
    assert (by_name["away"].state, by_name["away"].why) == ("away", "Connection refused")
    assert (by_name["reasons"].state, by_name["reasons"].why) == ("not ready", "redis: NOPERM")
    assert (by_name["draining"].state, by_name["draining"].why) == ("draining", "redis: gone")
    assert by_name["marked"].state == "draining"
    assert by_name["degraded"].why == "certificate: expires"
    assert by_name["ready"].state == "ready"


def test_a_process(two_rounds: View) -> None:
    """Its load is what its service holds; its CPU a share of one core."""
    found = {process.target: process for process in two_rounds.processes}

    assert (found["g"].work, found["g"].loop_lag_s) == (6, 0.3)
    assert found["g"].cpu == pytest.approx(0.3)
    assert (found["i1"].work, found["i1"].rss_bytes) == (3, 1000)
    assert found["i1"].cpu == pytest.approx(0.1)
    assert found["i1"].version == "1.0"
