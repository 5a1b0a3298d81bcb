"""Intervals: growth of counters, and quantiles of the observations between two scrapes."""

import math

import pytest

from relay_cli.top.interval import Interval, merged, quantile
from relay_cli.top.scraped import Scraped


def interval(before: str | None, after: str, seconds: float = 2.0) -> Interval:
    return Interval(Scraped.parse(before) if before else None, Scraped.parse(after), seconds)


def test_growth_of_a_counter() -> None:
    """Per second and in all; by label only what grew."""
    found = interval('n_total{r="a"} 4\nn_total{r="b"} 1\n', 'n_total{r="a"} 10\nn_total{r="b"} 1\n')

    assert found.increase("n_total") == 6
    assert found.rate("n_total", r="a") == 3
    assert found.increases("n_total", "r") == {"a": 6}


def test_a_counter_that_began_anew() -> None:
    """A process that restarted at the same address has grown from 0."""
    found = interval("n_total 100\n", "n_total 5\n")

    assert found.increase("n_total") == 5
    assert found.increases("n_total", "r") == {"": 5}


def test_nothing_has_grown_before_the_second_scrape() -> None:
    found = interval(None, "n_total 100\n", 0.0)

    assert found.increase("n_total") is None
    assert found.rate("n_total") is None
    assert found.increases("n_total", "r") == {}
    assert found.observed("h") == {}


def test_a_rate_needs_time_and_a_series() -> None:
    assert interval("n_total 1\n", "n_total 2\n", 0.0).rate("n_total") is None
    assert interval("n_total 1\n", "n_total 2\n").increase("missing_total") is None


HISTOGRAM = 'h_bucket{{le="0.1"}} {}\nh_bucket{{le="+Inf"}} {}\n'


def test_observations_of_the_interval() -> None:
    """Those before it do not count, unless the process began anew."""
    older, newer, anew = HISTOGRAM.format(2, 5), HISTOGRAM.format(4, 8), HISTOGRAM.format(1, 6)

    assert interval(older, newer).observed("h") == {0.1: 2, math.inf: 3}
    assert interval(newer, anew).observed("h") == {0.1: 1, math.inf: 6}


def test_histograms_of_several_processes() -> None:
    """They are added edge by edge, in the order of the edges."""
    assert merged([{math.inf: 2}, {0.1: 1, math.inf: 2}]) == {0.1: 1, math.inf: 4}
    assert merged([]) == {}


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {}, None),
        (0.5, {0.1: 0, math.inf: 0}, None),
        (0.5, {1: 10, 2: 10, math.inf: 10}, 0.5),
        (0.75, {1: 5, 2: 10, math.inf: 10}, 1.5),
        (0.99, {1: 5, math.inf: 10}, 1),
        (0.5, {math.inf: 3}, None),
        (0.5, {-1: 10, 0: 10, math.inf: 10}, -1),
        (0.75, {-1: 5, 1: 10, math.inf: 10}, 0),
    ],
)
def test_quantiles(q: float, buckets: dict[float, float], expected: float | None) -> None:
    """Linear within a bucket; the last finite edge beyond it; negative edges as of a lead."""
    assert quantile(q, buckets) == expected
