"""Interval: what changed in a process between two scrapes, and quantiles of what it observed meanwhile."""

import math
from typing import NamedTuple

from relay_cli.top.scraped import Buckets, Scraped


class Interval(NamedTuple):
    """Two scrapes of one process. The first is None after a single scrape: changes are unknown then."""

    before: Scraped | None
    after: Scraped
    seconds: float

    def increase(self, name: str, **labels: str) -> float | None:
        """By how much a counter grew. A counter that is smaller than before began anew at 0."""
        after = self.after.total(name, **labels)
        before = self.before.total(name, **labels) if self.before else None
        return None if after is None or before is None else _growth(before, after)

    def rate(self, name: str, **labels: str) -> float | None:
        """Growth of a counter per second."""
        increase = self.increase(name, **labels)
        return None if increase is None or self.seconds <= 0 else increase / self.seconds

    def increases(self, name: str, label: str) -> dict[str, float]:
        """By how much a counter grew, by the value of a label; only what did grow."""
        if self.before is None:
            return {}
        before = self.before.by(name, label)
        grown = {
            value: _growth(before.get(value, 0.0), after)
            for value, after in self.after.by(name, label).items()
        }
        return {value: increase for value, increase in grown.items() if increase > 0}

    def observed(self, name: str) -> Buckets:
        """The buckets of a histogram, with the observations of the interval only."""
        if self.before is None:
            return {}
        before, after = self.before.buckets(name), self.after.buckets(name)
        if any(after.get(edge, 0.0) < count for edge, count in before.items()):
            return after  # The process began anew.
        return {edge: count - before.get(edge, 0.0) for edge, count in after.items()}


def merged(histograms: list[Buckets]) -> Buckets:
    """Histograms of several processes as one."""
    total: Buckets = {}
    for buckets in histograms:
        for edge, count in buckets.items():
            total[edge] = total.get(edge, 0.0) + count
    return dict(sorted(total.items()))


def quantile(q: float, buckets: Buckets) -> float | None:
    """The value below which a share of the observations is, computed as Prometheus's ``histogram_quantile``.

    Args:
        q: The share, above 0 and up to 1.
        buckets: Ordered by edge.

    Returns:
        The value, or None without observations. Beyond the last finite edge it is that edge.
    """
    count = max(buckets.values(), default=0.0)
    if count <= 0:
        return None
    rank = q * count
    edges = [(-math.inf, 0.0), *buckets.items()]
    index = next(index for index, (_, cumulative) in enumerate(edges) if cumulative >= rank)
    (lower, below), (edge, cumulative) = edges[index - 1], edges[index]
    return _interpolated(lower, edge, (rank - below) / (cumulative - below))


def _interpolated(lower: float, edge: float, share: float) -> float | None:
    if math.isinf(edge):
        return None if math.isinf(lower) else lower
    if math.isinf(lower):
        if edge <= 0:
            return edge
        lower = 0.0
    return lower + (edge - lower) * share


def _growth(before: float, after: float) -> float:
    return after - before if after >= before else after
