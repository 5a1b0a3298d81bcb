"""The dashboards as their files have them: every panel, and its expressions as Grafana sends them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "helm" / "avatar-relay" / "files" / "dashboards"
_METRIC = re.compile(r"(?<![\w:])(?:relay|process|python)_\w+")
_RECORDED = re.compile(r"\b\w+:relay_\w+:\w+")


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query of a panel.

    Args:
        expr: PromQL with Grafana's variables.
        legend: With label names in braces.
        exemplar: Whether exemplars are shown.
    """

    expr: str
    legend: str
    exemplar: bool

    def sent(self, interval: str, shown: str) -> str:
        """The expression of a dashboard that shows all processes.

        Args:
            interval: For ``$__rate_interval``: four scrape intervals or longer.
            shown: For ``$__range``: the time that the dashboard shows.
        """
        return (
            self.expr.replace("$__rate_interval", interval)
            .replace("$__range", shown)
            .replace("$job", ".*")
            .replace("$instance", ".*")
        )

    def metrics(self) -> set[str]:
        """The metrics it reads."""
        return set(_METRIC.findall(self.expr))

    def recorded(self) -> set[str]:
        """The recording rules it reads."""
        return set(_RECORDED.findall(self.expr))

    def named(self, labels: dict[str, str]) -> str:
        """The legend of a series."""
        return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), self.legend).strip()


@dataclass(frozen=True, slots=True)
class SavedPanel:
    """A panel, with its place on a grid of 24 columns."""

    title: str
    description: str
    kind: str
    unit: str
    queries: tuple[SavedQuery, ...]
    stacked: bool
    links: tuple[str, ...]
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SavedRow:
    """A row's title."""

    title: str
    y: int


@dataclass(frozen=True, slots=True)
class SavedBoard:
    """A dashboard: what the file says besides its panels is in ``model``."""

    uid: str
    title: str
    description: str
    rows: tuple[SavedRow, ...]
    panels: tuple[SavedPanel, ...]
    model: dict[str, Any]


def boards(folder: Path = FOLDER) -> Iterator[SavedBoard]:
    """The dashboards of a folder, by file name."""
    for path in sorted(folder.glob("*.json")):
        model = json.loads(path.read_text("utf-8"))
        parts = model["panels"]
        yield SavedBoard(
            uid=model["uid"],
            title=model["title"],
            description=model.get("description", ""),
            rows=tuple(SavedRow(part["title"], part["gridPos"]["y"]) for part in parts if _is_row(part)),
            panels=tuple(_panel(part) for part in parts if not _is_row(part)),
            model=model,
        )


def _is_row(part: dict[str, Any]) -> bool:
    return bool(part["type"] == "row")


def _panel(part: dict[str, Any]) -> SavedPanel:
    defaults, place = part["fieldConfig"]["defaults"], part["gridPos"]
    return SavedPanel(
        title=part["title"],
        description=part.get("description", ""),
        kind=part["type"],
        unit=defaults.get("unit", ""),
        queries=tuple(
            SavedQuery(target["expr"], target["legendFormat"], target.get("exemplar", False))
            for target in part["targets"]
        ),
        stacked="stacking" in defaults.get("custom", {}),
        links=tuple(link["url"] for link in defaults.get("links", ())),
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
    )
