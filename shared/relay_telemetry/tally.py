"""Tallies: metrics of hot paths. A tally is a number until somebody scrapes it."""

from collections.abc import Iterable

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class Tally(Collector):
    """A metric that its one event loop changes by plain addition: ``FRAMES.value += 1``.

    The library's own takes a lock and checks labels each time, which is 0.7 us: as much as parsing a
    reply. Threads must not share one.

    Args:
        name: Of the metric; a counter when it ends in ``_total``, else a gauge.
        documentation: What it counts.
    """

    def __init__(self, name: str, documentation: str) -> None:
        self.value = 0
        self._name = name
        self._documentation = documentation
        REGISTRY.register(self)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Part of ``Collector``."""
        family = CounterMetricFamily if self._name.endswith("_total") else GaugeMetricFamily
        yield family(self._name, self._documentation, value=self.value)
