"""Counters whose series exist before the first event."""

import pytest
from prometheus_client import REGISTRY, Counter

from relay_telemetry.counter import OPEN, counter, declared, expect


@pytest.fixture
def made():
    """``made(...)`` declares a counter, for one test."""
    counters = []

    def declare(**labels: tuple[str, ...]) -> Counter:
        counters.append(counter("relay_test_events_total", "Events of a test.", **labels))
        return counters[-1]

    yield declare
    for one in counters:
        REGISTRY.unregister(one)


def _series(of) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for metric in of.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def test_every_combination_of_declared_values_is_at_zero(made) -> None:
    events = made(code=("slow", "gone"), phase=("open", "turn"))

    assert _series(events) == {(code, phase): 0 for code in ("slow", "gone") for phase in ("open", "turn")}
    assert declared(events) == {"code": ("slow", "gone"), "phase": ("open", "turn")}


def test_an_open_label_has_series_as_soon_as_a_value_is_expected(made) -> None:
    events = made(client=OPEN, kind=("moved", "ask"))
    assert _series(events) == {}

    expect(events, client="gateway")
    events.labels("gateway", "ask").inc()
    expect(events, client="gateway")  # another client of this name changes nothing

    assert _series(events) == {("gateway", "moved"): 0, ("gateway", "ask"): 1}
