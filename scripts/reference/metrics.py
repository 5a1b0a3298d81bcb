"""The page of metrics, from what each service registers when it is loaded.

Services share modules, so a process of its own loads each: ``python -m scripts.reference.metrics gateway``.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from scripts.reference.markdown import code, prose, table

from relay_settings.catalogue import SERVICES
from relay_telemetry import counter
from relay_telemetry.admin import announce
from relay_telemetry.fast_histogram import FastHistograms

PREFIX = "relay_"
_TEMPLATE = Path(__file__).with_suffix(".md")


class Metric(NamedTuple):
    """One metric as it is exposed."""

    name: str
    kind: str
    labels: Mapping[str, list[str]]
    """By label, its values; none: they are known at run time only."""
    meaning: str


def collect() -> dict[str, list[Metric]]:
    """By service, its metrics.

    Raises:
        subprocess.CalledProcessError: A service cannot be loaded; its standard error has said why.
    """
    commands = {name: [sys.executable, "-m", __name__, name] for name in sorted(SERVICES)}
    children = {
        name: subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for name, command in commands.items()
    }
    texts = {name: child.communicate()[0] for name, child in children.items()}
    for name, child in children.items():
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, commands[name])
    return {name: [Metric(*fields) for fields in json.loads(text)] for name, text in texts.items()}


def registered() -> list[Metric]:
    """The relay's metrics in this process, by name."""
    collectors = REGISTRY._collector_to_names  # noqa: SLF001  # the public way forgets metrics without a series
    found = [metric for collector in collectors for metric in _metrics(collector)]
    return sorted(metric for metric in found if metric.name.startswith(PREFIX))


def page(services: Mapping[str, Iterable[Metric]]) -> str:
    """The text of the page.

    Args:
        services: By service, its metrics.
    """
    metrics: dict[str, Metric] = {}
    having: dict[str, tuple[str, ...]] = {}
    for service in sorted(services):
        for metric in services[service]:
            metrics[metric.name] = metric
            having[metric.name] = (*having.get(metric.name, ()), service)
    groups = sorted(set(having.values()), key=lambda names: (-len(names), names))
    sections = (
        f"## {', '.join(group).capitalize()}\n\n"
        + table(
            ("metric", "type", "labels", "meaning"),
            (cells(metrics[name]) for name in sorted(having) if having[name] == group),
        )
        for group in groups
    )
    return Template(_TEMPLATE.read_text("utf-8")).substitute(sections="\n".join(sections)).rstrip("\n") + "\n"


def cells(metric: Metric) -> tuple[str, ...]:
    """The row of a metric."""
    labels = (
        f"{code(label)}: {', '.join(map(code, values)) or '*named at run time*'}"
        for label, values in metric.labels.items()
    )
    return code(metric.name), metric.kind, "; ".join(labels), prose(metric.meaning)


def _metrics(collector: Collector) -> Iterable[Metric]:
    for family in collector.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        yield Metric(family.name + suffix, family.type, _labels(collector, family), family.documentation)


def _labels(collector: Collector, family: Family) -> dict[str, list[str]]:
    names = collector._labelnames if isinstance(collector, Counter | Gauge) else ()  # noqa: SLF001  # not public
    found: dict[str, list[str]] = {label: [] for label in names}
    for sample in family.samples:
        for label, value in sample.labels.items():
            found.setdefault(label, []).append(value)
    if family.type == "info":
        return {label: [] for label in found}
    if family.type == "histogram":
        open_labels = collector.labels if isinstance(collector, FastHistograms) else {}
        found = {**{label: [] for label in open_labels}, **found}
        return {label: list(dict.fromkeys(open_labels.get(label) or found[label])) for label in found}
    known = counter.declared(collector) if names and isinstance(collector, Counter) else {}
    return {label: sorted(known.get(label) or set(values)) for label, values in found.items()}


def main() -> None:
    """Load the service that the command line names, and print its metrics as JSON."""
    (service,) = sys.argv[1:]
    importlib.import_module(f"relay_{service}.app")
    announce(service)
    print(json.dumps(registered()))


if __name__ == "__main__":
    main()
