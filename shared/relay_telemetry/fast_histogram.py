"""Fast histograms: histograms of hot paths, plain numbers until a scrape.

The library's own histogram takes two locks for each observation. A fast histogram is changed by plain
addition, and so by one thread only. It keeps one exemplar for each bucket: the last observation that came
with a trace id, which the OpenMetrics format shows, and the text format does not.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import product
from time import time

from prometheus_client import REGISTRY
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from relay_telemetry.counter import OPEN

__all__ = ["OPEN", "Distribution", "FastHistogram", "FastHistograms"]


class Distribution:
    """The observations of one series.

    Args:
        bounds: The upper bounds of the buckets but the last, ascending; a value on a bound is below it.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: list[tuple[str, float, float] | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count a value.

        Args:
            value: In the unit that the metric's name ends in.
            trace_id: Of the recorded trace that the value is part of, as 32 hex digits; empty: none.
        """
        bucket = bisect_left(self._bounds, value)
        self._counts[bucket] += 1
        self._sum += value
        if trace_id:
            self._exemplars[bucket] = (trace_id, value, time())

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the series to its metric's family, as the values of its labels."""
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        total = 0
        bounds = (*self._bounds, float("inf"))
        for bound, count, exemplar in zip(bounds, self._counts, self._exemplars, strict=True):
            total += count
            name = floatToGoString(bound)  # type: ignore[no-untyped-call]
            if exemplar is None:
                buckets.append((name, total))
            else:
                trace_id, value, at = exemplar
                buckets.append((name, total, Exemplar({"trace_id": trace_id}, value, at)))
        family.add_metric(labels, buckets, self._sum)


class FastHistogram(Distribution, Collector):
    """A histogram without labels.

    With a negative bound it has neither ``_sum`` nor ``_count``, as OpenMetrics has it; its number of
    observations is the bucket ``+Inf``.

    Args:
        name: Of the metric; it ends in a unit.
        documentation: What it observes.
        buckets: Their upper bounds, ascending, without infinity.
    """

    def __init__(self, name: str, documentation: str, *, buckets: Sequence[float]) -> None:
        super().__init__(_checked(buckets))
        self._name = name
        self._documentation = documentation
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        """Part of ``Collector``."""
        family = HistogramMetricFamily(self._name, self._documentation)
        self.add_to(family, ())
        yield family


class FastHistograms(Collector):
    """A histogram with labels, whose series exist from the start; ``histograms[values]`` is one of them.

    A label that is declared with ``OPEN`` has values once ``expect`` names them. Hot paths keep the series
    they need, instead of looking them up.

    Args:
        name: Of the metric; it ends in a unit.
        documentation: What it observes.
        buckets: As ``FastHistogram``.
        labels: By label, all values that it can have, or ``OPEN``.
    """

    def __init__(
        self, name: str, documentation: str, *, buckets: Sequence[float], **labels: Iterable[str]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = _checked(buckets)
        self.labels = {label: tuple(values) for label, values in labels.items()}
        """By label, the values that it was declared with."""
        self._series: dict[tuple[str, ...], Distribution] = {}
        self.expect()
        REGISTRY.register(self)

    def expect(self, **values: str) -> None:
        """Create the series that have these values, with every declared value of the other labels.

        Args:
            values: By label, the value that is known now.
        """
        labels = {**self.labels, **{label: (value,) for label, value in values.items()}}
        for series in product(*labels.values()):
            self._series.setdefault(series, Distribution(self._bounds))

    def __getitem__(self, values: str | tuple[str, ...]) -> Distribution:
        """The series with these values, in the order of the declared labels.

        Raises:
            KeyError: No such series was declared or expected.
        """
        return self._series[(values,) if isinstance(values, str) else values]

    def collect(self) -> Iterable[Metric]:
        """Part of ``Collector``."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=list(self.labels))
        for values, distribution in self._series.items():
            distribution.add_to(family, values)
        yield family


def _checked(buckets: Sequence[float]) -> tuple[float, ...]:
    bounds = tuple(buckets)
    if not bounds or list(bounds) != sorted(set(bounds)):
        raise ValueError("the bounds of buckets must ascend")
    return bounds
