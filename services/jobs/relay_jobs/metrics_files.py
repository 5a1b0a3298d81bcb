"""Metrics files: the counters and histograms of a worker's processes, added to those of its supervisor.

Each process writes files of its own (prometheus_client's multiprocess mode). Those of a process that has
ended are added up here and removed, so that restarts do not add files without end.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that has a process write its metrics into files, from before the library is imported."""
_SUMMED = ("counter", "histogram")

_PARTS = ("_total", "_bucket", "_sum", "_count")
"""What the samples of these have behind the name of their family."""

_Labels = tuple[tuple[str, str], ...]
_Counts = defaultdict[str, dict[_Labels, float]]
"""By the name of a sample and its labels, its value."""


class MergedMetrics(Collector):
    """The metrics of a registry, and of the files of a folder.

    Args:
        own: The supervisor's registry.
        folder: Where the processes write.
    """

    def __init__(self, own: CollectorRegistry, folder: Path) -> None:
        self._own = own
        self._folder = folder
        self._ended: _Counts = defaultdict(dict)

    def collect(self) -> Iterable[Metric]:
        """Part of ``Collector``: each family of the supervisor, with what its processes have counted."""
        self._retire()
        counts: _Counts = defaultdict(dict)
        for name, series in self._ended.items():
            counts[name].update(series)
        _add(counts, self._folder.glob("*.db"))
        for family in self._own.collect():
            if family.type in _SUMMED:
                family.samples = [*_sums(family, counts)]
            yield family

    def _retire(self) -> None:
        ended = [path for path in self._folder.glob("*.db") if not _lives(path)]
        _add(self._ended, ended)
        for path in ended:
            path.unlink(missing_ok=True)


def _add(counts: _Counts, paths: Iterable[Path]) -> None:
    summed = [str(path) for path in paths if path.name.startswith(_SUMMED)]
    for family in _merge(summed) if summed else ():
        for sample in family.samples:
            series, labels = counts[sample.name], _labels(sample)
            series[labels] = series.get(labels, 0.0) + sample.value


def _merge(paths: list[str]) -> Iterable[Metric]:
    merged: Iterable[Metric] = MultiProcessCollector.merge(paths)  # type: ignore[no-untyped-call]  # the library's
    return merged


def _sums(family: Metric, counts: _Counts) -> Iterable[Sample]:
    for sample in family.samples:
        yield sample._replace(value=sample.value + counts[sample.name].pop(_labels(sample), 0.0))
    for name in (f"{family.name}{part}" for part in _PARTS):
        for labels, value in counts[name].items():
            yield Sample(name, dict(labels), value)


def _labels(sample: Sample) -> _Labels:
    return tuple(sorted(sample.labels.items()))


def _lives(path: Path) -> bool:
    """Whether the process that writes a file lives; the file's name ends in its id."""
    try:
        os.kill(int(path.stem.rpartition("_")[2]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
