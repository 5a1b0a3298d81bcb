"""What the benchmark computes from what it counted."""

import base64
import math
from itertools import pairwise

import pytest
from tests.benchmarks.cpu import Usage
from tests.benchmarks.load import percentiles
from tests.benchmarks.report import Report
from tests.benchmarks.target import Sample
from tests.benchmarks.traffic import MAGIC, STAMP, UNSTAMPED, Clip, Pacer, Traffic


def sample(target: str, *, frames: int, cpu_s: float, p99: float = 1.0) -> Sample:
    usage = Usage({"server": cpu_s, "redis": cpu_s / 2}, 0.5)
    return Sample(target, frames, 1.0, frames, 0, 0, {"p50": 0.5, "p99": p99}, None, usage, frames, 0.0)


def test_steady_traffic_is_spread_evenly() -> None:
    """As many frames as asked for, each conversation once a period."""
    traffic = Traffic.steady(50, 2048, 1000.0)
    order = traffic.order()

    assert traffic.rate == pytest.approx(1000)
    assert sorted(conversation for _, conversation, _ in order) == list(range(50))
    assert all(math.isclose(after[0] - before[0], 0.001) for before, after in pairwise(order))


def test_a_period_wraps_around() -> None:
    """A conversation that begins late continues at the beginning of the next period."""
    traffic = Traffic(2, 10.0, (Clip(0.0, 100), Clip(7.0, 200)))

    assert traffic.order() == [(0.0, 0, 100), (2.0, 1, 200), (5.0, 1, 100), (7.0, 0, 200)]


def test_payloads_carry_their_stamp_in_their_size() -> None:
    """Numbered by conversation; base64 begins with the stamp in base64."""
    pacer = Pacer(lambda *_: None)
    first, second, other = pacer.payload(0, 2048), pacer.payload(0, 100), pacer.payload(1, 2048)

    assert [len(payload) for payload in (first, second, other)] == [2048, 100, 2048]
    assert [STAMP.unpack_from(payload)[2] for payload in (first, second, other)] == [1, 2, 1]
    assert base64.b64encode(first).startswith(base64.b64encode(first[: STAMP.size]))
    assert all(payload.count(MAGIC) == 1 for payload in (first, second, other))


def test_unstamped_payloads_are_the_same_bytes() -> None:
    """The floor makes nothing anew."""
    pacer = Pacer(lambda *_: None, stamped=False)

    assert pacer.payload(0, 2048) is pacer.payload(1, 2048)
    assert len(pacer.payload(0, 2048)) == 2048
    assert STAMP.unpack_from(pacer.payload(0, 2048)) == (MAGIC, 0, UNSTAMPED)


def test_ratios_weigh_windows_by_their_frames() -> None:
    """CPU and frames are added up before they are divided."""
    report = Report("steady", peer="other")
    report.samples += [
        sample("relay", frames=1000, cpu_s=0.02),
        sample("relay", frames=3000, cpu_s=0.06),
        sample("floor", frames=2000, cpu_s=0.02),
        sample("other", frames=1000, cpu_s=0.04),
    ]
    figures = report.figures()

    assert (figures["gateway_us"], figures["floor_us"], figures["peer_us"]) == (20.0, 10.0, 40.0)
    assert (figures["ratio_to_floor"], figures["ratio_to_peer"]) == (2.0, 0.5)
    assert figures["redis_us"] == 10.0


def test_one_disturbed_window_does_not_decide() -> None:
    """Latencies are the median of the windows'."""
    report = Report("steady", samples=[sample("relay", frames=1, cpu_s=0, p99=p99) for p99 in (2, 900, 4)])

    assert report.latency_ms("relay")["p99"] == 4


def test_percentiles() -> None:
    """In milliseconds; nothing of nothing."""
    assert percentiles(range(0, 101_000_000, 1_000_000)) == {"p50": 50.0, "p99": 99.0, "max": 100.0}
    assert percentiles([]) == {}
