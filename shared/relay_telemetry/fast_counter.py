"""Tallies: metrics of hot paths. A tally is a number until somebody scrapes it.

The library's own metrics take a lock and check labels each time, which is 0.7 us: as much as parsing a
reply of Redis. A tally is changed by plain addition, ``FRAMES.value += 1``, and so by one thread only.
"""

from collections.abc import Iterable

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class Count:
    """One number of a metric."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class FastCounter(Count, Collector):
    """A metric of one number.

    Args:
        name: A counter when it ends in ``_total``, else a gauge.
        documentation: What it counts.
    """

    def __init__(self, name: str, documentation: str) -> None:
        super().__init__()
        self._name = name
        self._documentation = documentation
        REGISTRY.register(self)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Part of ``Collector``."""
        family = CounterMetricFamily if self._name.endswith("_total") else GaugeMetricFamily
        yield family(self._name, self._documentation, value=self.value)


class FastCounters(Collector):
    """A counter with one label, whose values are known from the start; ``tallies[value]`` is a number.

    Args:
        name: Of the metric; it ends in ``_total``.
        documentation: What it counts.
        label: Of the label.
        values: Its values.
    """

    def __init__(self, name: str, documentation: str, label: str, values: Iterable[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._counts = {value: Count() for value in values}
        REGISTRY.register(self)

    def __getitem__(self, value: str) -> Count:
        return self._counts[value]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Part of ``Collector``."""
        family = CounterMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, count in self._counts.items():
            family.add_metric([value], count.value)
        yield family
