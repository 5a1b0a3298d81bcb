"""Fast histograms: histograms of hot paths, plain numbers until a scrape.

The library's own histogram takes two locks for each observation. A fast histogram is changed by plain
addition, and so by one thread only. It keeps one exemplar for each bucket: the last observation that came
with a trace id, which the OpenMetrics format shows, and the text format does not.
"""

from collections.abc import Iterable, Sequence
from itertools import product

from prometheus_client import REGISTRY
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay_telemetry.counter import OPEN
from relay_telemetry.distribution import Distribution

__all__ = ["OPEN", "Distribution", "FastHistogram", "FastHistograms"]


class FastHistogram(Collector):
    """A histogram without labels.

    With a negative bound it has neither ``_sum`` nor ``_count``, as OpenMetrics has it; its number of
    observations is the bucket ``+Inf``.

    Args:
        name: Of the metric; it ends in a unit.
        documentation: What it observes.
        buckets: Their upper bounds, ascending, without infinity.
    """

    def __init__(self, name: str, documentation: str, *, buckets: Sequence[float]) -> None:
        self.series = Distribution(_checked(buckets))
        """Its only one; hot paths keep it."""
        self._name = name
        self._documentation = documentation
        REGISTRY.register(self)

    def observe(self, value: float, trace_id: str = "") -> None:
        """As ``Distribution.observe``."""
        self.series.observe(value, trace_id)

    def collect(self) -> Iterable[Metric]:
        """Part of ``Collector``."""
        family = HistogramMetricFamily(self._name, self._documentation)
        self.series.add_to(family, ())
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
