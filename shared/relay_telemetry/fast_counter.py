"""Fast counters: metrics of hot paths, plain numbers until a scrape.

The library's own metrics take a lock and check labels each time, which is 0.7 us: as much as parsing a
reply of Redis. A fast counter is changed by plain addition, ``FRAMES.value += 1``, and so by one thread
only.
"""

from collections.abc import Iterable

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from relay_telemetry.number import Number


class FastCounter(Collector):
    """A metric of one number.

    Args:
        name: A counter when it ends in ``_total``, else a gauge.
        documentation: What it counts.
    """

    def __init__(self, name: str, documentation: str) -> None:
        self.value = 0
        self._name = name
        self._documentation = documentation
        REGISTRY.register(self)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Part of ``Collector``."""
        yield _family(self._name)(self._name, self._documentation, value=self.value)


class FastCounters(Collector):
    """A metric with one label, whose values are known from the start; ``counters[value]`` has the number.

    Hot paths keep the number they change, instead of looking it up: ``AUDIO = FRAMES["audio"]``.

    Args:
        name: A counter when it ends in ``_total``, else a gauge.
        documentation: What it counts.
        label: Of the label.
        values: Its values.
    """

    def __init__(self, name: str, documentation: str, label: str, values: Iterable[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._numbers = {value: Number() for value in values}
        REGISTRY.register(self)

    def __getitem__(self, value: str) -> Number:
        return self._numbers[value]

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Part of ``Collector``."""
        family = _family(self._name)(self._name, self._documentation, labels=[self._label])
        for value, number in self._numbers.items():
            family.add_metric([value], number.value)
        yield family


def _family(name: str) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
