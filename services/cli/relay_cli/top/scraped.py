"""Scraped metrics: the samples of one process at one time."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

Buckets = dict[float, float]
"""Cumulative counts of a histogram by upper edge, the last edge being infinite."""


class ScrapeError(Exception):
    """Raised when a text is not in Prometheus's text format."""


class _Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Scraped:
    """Samples by the name of their series. Every reader returns None for a series that is absent."""

    def __init__(self, samples: Mapping[str, list[_Sample]]) -> None:
        self._samples = samples

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Prometheus's text format.

        Raises:
            ScrapeError: The text has another format, or no sample.
        """
        samples: dict[str, list[_Sample]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    samples.setdefault(sample.name, []).append(_Sample(sample.labels, sample.value))
        except (ValueError, IndexError, KeyError) as error:
            raise ScrapeError(f"the answer is not in Prometheus's text format: {error}") from None
        if not samples:
            raise ScrapeError("the answer has no metrics")
        return cls(samples)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of the samples that have these labels."""
        found = [sample.value for sample in self._matching(name, labels)]
        return sum(found) if found else None

    def largest(self, name: str) -> float | None:
        """The largest sample."""
        return max((sample.value for sample in self._matching(name, {})), default=None)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the value of a label; empty when the series is absent."""
        found: dict[str, float] = {}
        for sample in self._matching(name, {}):
            value = sample.labels.get(label, "")
            found[value] = found.get(value, 0.0) + sample.value
        return found

    def text(self, name: str, label: str) -> str:
        """The value of a label of the first sample; empty when the series is absent."""
        return next((sample.labels.get(label, "") for sample in self._matching(name, {})), "")

    def buckets(self, name: str) -> Buckets:
        """The buckets of a histogram, summed over its other labels; empty when it is absent."""
        found = self.by(f"{name}_bucket", "le")
        return {float(edge): count for edge, count in found.items() if edge}

    def _matching(self, name: str, labels: Mapping[str, str]) -> Iterator[_Sample]:
        for sample in self._samples.get(name, ()):
            if all(sample.labels.get(label) == value for label, value in labels.items()):
                yield sample
