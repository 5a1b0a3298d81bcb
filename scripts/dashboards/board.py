"""A dashboard as values: rows of panels, each with its queries. It knows neither Grafana nor its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """How a panel shows its data."""

    GRAPH = "timeseries"
    STAT = "stat"
    BARS = "bargauge"


class Unit:
    """Grafana's names of the units in use."""

    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_S = "Bps"
    PER_S = "cps"
    COUNT = "short"
    RATIO = "percentunit"
    DATE = "dateTimeAsIso"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and the legend of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        title: Over it.
        description: What it shows and what to conclude from it.
        unit: One of `Unit`.
        queries: At least one.
        kind: How it shows its data.
        exemplars: Whether it shows exemplars, and links to traces.
        stacked: Whether the series of a graph are stacked.
        maximum: Upper end of a graph's axis; None follows the data.
        steps: Colours by the least value that has them; the first is the colour below all of them.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.GRAPH
    exemplars: bool = False
    stacked: bool = False
    maximum: float | None = None
    steps: Mapping[float | None, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Args:
        uid: Its address in Grafana; never changes.
        title: Its name.
        description: The question it answers.
        rows: From the symptom to its causes.
    """

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


def graph(title: str, description: str, unit: str, *queries: Query, stacked: bool = False) -> Panel:
    """A panel of lines over time."""
    return Panel(title, description, unit, queries, stacked=stacked)


def traced(title: str, description: str, *queries: Query) -> Panel:
    """A panel of seconds over time with exemplars."""
    return Panel(title, description, Unit.SECONDS, queries, exemplars=True)


def ratio(title: str, description: str, *queries: Query) -> Panel:
    """A panel of ratios from 0 to 1 over time."""
    return Panel(title, description, Unit.RATIO, queries, maximum=1)


def stat(
    title: str, description: str, unit: str, *queries: Query, steps: Mapping[float | None, str] | None = None
) -> Panel:
    """A panel with present values."""
    return Panel(title, description, unit, queries, Kind.STAT, steps=steps or {})


def bars(title: str, description: str, unit: str, *queries: Query) -> Panel:
    """A panel with a bar for each present value."""
    return Panel(title, description, unit, queries, Kind.BARS)
