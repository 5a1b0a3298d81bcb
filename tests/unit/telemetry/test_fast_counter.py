"""Fast counters: plain numbers that a scrape shows."""

import pytest
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from relay_telemetry.fast_counter import FastCounter, FastCounters


@pytest.fixture
def made():
    """``made(kind, name, ...)`` makes a metric, for one test."""
    metrics = []

    def make(kind, name, *options: object) -> Collector:
        metrics.append(kind(name, "Of a test.", *options))
        return metrics[-1]

    yield make
    for one in metrics:
        REGISTRY.unregister(one)


@pytest.mark.parametrize(
    ("name", "kind"), [("relay_test_events_total", "counter"), ("relay_test_bytes", "gauge")]
)
def test_the_name_decides_the_kind(made, name, kind) -> None:
    one = made(FastCounter, name)
    one.value += 3
    [family] = one.collect()
    assert (family.type, [(sample.name, sample.value) for sample in family.samples]) == (kind, [(name, 3)])


@pytest.mark.parametrize(
    ("name", "kind"), [("relay_test_events_total", "counter"), ("relay_test_bytes", "gauge")]
)
def test_every_value_of_a_label_exists_from_the_start(made, name, kind) -> None:
    many = made(FastCounters, name, "kind", ("audio", "motion"))
    audio = many["audio"]
    audio.value += 2
    [family] = many.collect()
    assert family.type == kind
    assert {sample.labels["kind"]: sample.value for sample in family.samples} == {"audio": 2, "motion": 0}
