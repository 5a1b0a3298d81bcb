"""Fast histograms: what a scrape of them has, in both formats."""

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client import exposition as text
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from relay_telemetry.fast_histogram import OPEN, FastHistogram, FastHistograms

NAME = "relay_test_seconds"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def made():
    """``made(kind, ...)`` makes a histogram, for one test."""
    histograms = []

    def make(kind, **options: object) -> Collector:
        histograms.append(kind(NAME, "Of a test.", **options))
        return histograms[-1]

    yield make
    for one in histograms:
        REGISTRY.unregister(one)


def _scraped(histogram, *, as_openmetrics: bool) -> list[Sample]:
    registry = CollectorRegistry()
    registry.register(histogram)
    if as_openmetrics:
        exposed = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        families = openmetrics_parser.text_string_to_metric_families(exposed.decode())  # type: ignore[no-untyped-call]
    else:
        families = text_string_to_metric_families(text.generate_latest(registry).decode())
    return [sample for family in families for sample in family.samples]


def _values(samples: list[Sample]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix(NAME), *(sample.labels[label] for label in sorted(sample.labels))): (
            sample.value
        )
        for sample in samples
    }


@pytest.mark.parametrize("as_openmetrics", [False, True])
def test_buckets_are_cumulative_and_a_value_on_a_bound_is_below_it(made, as_openmetrics) -> None:
    histogram = made(FastHistogram, buckets=(0.5, 1))
    for value in (0.25, 0.5, 0.75, 2):
        histogram.observe(value)

    assert _values(_scraped(histogram, as_openmetrics=as_openmetrics)) == {
        ("_bucket", "0.5"): 2,
        ("_bucket", "1.0"): 3,
        ("_bucket", "+Inf"): 4,
        ("_count",): 4,
        ("_sum",): 3.5,
    }


def test_a_histogram_is_complete_before_its_first_value(made) -> None:
    histogram = made(FastHistogram, buckets=(1,))

    assert set(_values(_scraped(histogram, as_openmetrics=False)).values()) == {0}


def test_each_bucket_has_the_last_exemplar_in_openmetrics_alone(made) -> None:
    """The text format has no exemplars; a value without a trace leaves the exemplar of its bucket."""
    histogram = made(FastHistogram, buckets=(1, 2))
    histogram.observe(0.5, "f" * 32)
    histogram.observe(0.75, TRACE_ID)
    histogram.observe(0.25)
    histogram.observe(3, TRACE_ID)

    exemplars = {
        sample.labels["le"]: sample.exemplar
        for sample in _scraped(histogram, as_openmetrics=True)
        if sample.exemplar
    }

    assert {le: (found.labels, found.value) for le, found in exemplars.items()} == {
        "1.0": ({"trace_id": TRACE_ID}, 0.75),
        "+Inf": ({"trace_id": TRACE_ID}, 3),
    }
    assert all(found.timestamp for found in exemplars.values())
    assert not any(sample.exemplar for sample in _scraped(histogram, as_openmetrics=False))


@pytest.mark.parametrize("as_openmetrics", [False, True])
def test_with_a_negative_bound_there_is_no_sum(made, as_openmetrics) -> None:
    """OpenMetrics forbids it, since a sum that falls is no counter."""
    histogram = made(FastHistogram, buckets=(-1, 0))
    histogram.observe(-0.5)

    assert _values(_scraped(histogram, as_openmetrics=as_openmetrics)) == {
        ("_bucket", "-1.0"): 0,
        ("_bucket", "0.0"): 1,
        ("_bucket", "+Inf"): 1,
    }


def test_every_declared_series_exists_from_the_start(made) -> None:
    histograms = made(FastHistograms, buckets=(1,), outcome=("complete", "failed"))
    histograms["failed"].observe(0.5)

    counts = {
        sample.labels["outcome"]: sample.value
        for sample in _scraped(histograms, as_openmetrics=True)
        if sample.name.endswith("_count")
    }

    assert counts == {"complete": 0, "failed": 1}
    with pytest.raises(KeyError):
        histograms["other"]


def test_an_open_label_has_series_as_soon_as_a_value_is_expected(made) -> None:
    histograms = made(FastHistograms, buckets=(1,), client=OPEN, command=("GET", "other"))
    assert _scraped(histograms, as_openmetrics=False) == []

    histograms.expect(client="gateway")
    histograms["gateway", "GET"].observe(0.5)
    histograms.expect(client="gateway")  # a second client of this name continues the series

    values = _values(_scraped(histograms, as_openmetrics=False))
    assert values["_count", "gateway", "GET"] == 1
    assert values["_count", "gateway", "other"] == 0
    assert histograms.labels == {"client": (), "command": ("GET", "other")}


@pytest.mark.parametrize("buckets", [(), (1, 1), (2, 1)])
def test_bounds_must_ascend(buckets) -> None:
    with pytest.raises(ValueError, match="ascend"):
        FastHistogram(NAME, "Of a test.", buckets=buckets)
    with pytest.raises(ValueError, match="ascend"):
        FastHistograms(NAME, "Of a test.", buckets=buckets, kind=("a",))
