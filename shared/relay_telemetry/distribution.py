"""Distributions: the series of fast histograms. The module is compiled, as ``relay_telemetry.number``."""

from collections.abc import Sequence
from time import time

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class Distribution:
    """The observations of one series.

    Args:
        bounds: The upper bounds of the buckets but the last, ascending; a value on a bound is below it.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: list[tuple[str, float, float] | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count a value.

        Args:
            value: In the unit that the metric's name ends in.
            trace_id: Of the recorded trace that the value is part of, as 32 hex digits; empty: none.
        """
        bucket = 0
        for bound in self._bounds:  # A binary search costs as much as nine comparisons, and most end early.
            if value <= bound:
                break
            bucket += 1
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
