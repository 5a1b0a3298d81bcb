"""Metrics files: what processes have counted is added to what their supervisor has."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from relay_jobs.metrics_files import FOLDER_VARIABLE, MergedMetrics

COUNTING = """
import os, sys
from prometheus_client import Counter, Gauge, Histogram
counter = Counter("tasks_total", "Tasks.", ["task"])
for task in sys.argv[1:]:
    counter.labels(task).inc()
Histogram("seconds", "Time.", buckets=(1,)).observe(0.5)
Gauge("level", "Level.").set(7)
"""


def _count(folder: Path, *tasks: str) -> None:
    """Count in a process of its own, which ends then."""
    environment = {**os.environ, FOLDER_VARIABLE: str(folder)}
    subprocess.run([sys.executable, "-c", COUNTING, *tasks], env=environment, check=True, timeout=30)


def _merged(folder: Path) -> tuple[CollectorRegistry, MergedMetrics]:
    own = CollectorRegistry()
    counter = Counter("tasks_total", "Tasks.", ["task"], registry=own)
    counter.labels("a").inc(10)
    counter.labels("never")
    Histogram("seconds", "Time.", buckets=(1,), registry=own)
    Gauge("level", "Level.", registry=own).set(1)
    return own, MergedMetrics(own, folder)


def _values(merged: MergedMetrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in merged.collect()
        for sample in family.samples
    }


def test_counts_are_added(tmp_path: Path) -> None:
    """By series; those of values that the supervisor did not know are there, too. Gauges are its own."""
    _, merged = _merged(tmp_path)
    _count(tmp_path, "a", "a", "b")
    _count(tmp_path, "a")

    values = _values(merged)

    assert values["tasks_total", "a"] == 13
    assert values["tasks_total", "b"] == 1
    assert values["tasks_total", "never"] == 0
    assert values["seconds_count", ""] == values["seconds_bucket", "1.0"] == 2
    assert values["seconds_sum", ""] == 1.0
    assert values["level", ""] == 1


def test_counts_outlive_their_processes_and_files_do_not(tmp_path: Path) -> None:
    """The sums stay the same when they are read again, and nothing is left in the folder."""
    _, merged = _merged(tmp_path)
    _count(tmp_path, "a")
    first = _values(merged)

    assert list(tmp_path.iterdir()) == []
    assert _values(merged) == first
    _count(tmp_path, "a")
    assert _values(merged)["tasks_total", "a"] == 12


def test_a_registry_exposes_them(tmp_path: Path) -> None:
    """As its own, for the admin port."""
    _, merged = _merged(tmp_path)
    registry = CollectorRegistry()
    registry.register(merged)
    _count(tmp_path, "a")
    assert registry.get_sample_value("tasks_total", {"task": "a"}) == 11
