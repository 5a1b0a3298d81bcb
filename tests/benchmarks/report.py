"""Reports: what a scenario found, as tables and as one JSON object."""

from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from tests.benchmarks.target import Sample


@dataclass(frozen=True)
class Goal:
    """A limit of ours, and where we are."""

    what: str
    limit: float
    value: float | None

    @property
    def met(self) -> bool | None:
        """None when it was not measured."""
        return None if self.value is None else self.value <= self.limit


@dataclass
class Report:
    """The figures of one scenario: samples of every server that did the same work, and what else it found."""

    scenario: str
    samples: list[Sample] = field(default_factory=list)
    peer: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Further figures, by name; nested ones are shown as they are."""
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, target: str) -> list[Sample]:
        """One server's samples."""
        return [sample for sample in self.samples if sample.target == target]

    def us(self, target: str, role: str = "server") -> float | None:
        """CPU microseconds per delivered frame over all of a server's samples."""
        samples = self.of(target)
        frames = sum(sample.frames for sample in samples)
        return sum(sample.usage.cpu_s.get(role, 0.0) for sample in samples) / frames * 1e6 if frames else None

    def ratio(self, target: str) -> float | None:
        """The relay's cost over another's, of one run."""
        ours, theirs = self.us("relay"), self.us(target)
        return ours / theirs if ours is not None and theirs else None

    def latency_ms(self, target: str) -> dict[str, float]:
        """The median of its samples' percentiles: one disturbed window does not decide."""
        return _medians([sample.latency_ms for sample in self.of(target)])

    def last_viewer_ms(self, target: str) -> dict[str, float]:
        """The same, of each frame's last viewer."""
        return _medians([sample.last_viewer_ms or {} for sample in self.of(target)])

    def figures(self) -> dict[str, Any]:
        """Everything, for the JSON line."""
        figures: dict[str, Any] = {
            "scenario": self.scenario,
            "floor_us": _rounded(self.us("floor")),
            "gateway_us": _rounded(self.us("relay")),
            "ratio_to_floor": _rounded(self.ratio("floor"), 2),
            "relay_latency_ms": self.latency_ms("relay"),
            "redis_us": _rounded(self.us("relay", "redis")),
            "publisher_us": _rounded(self.us("relay", "publisher")),
        }
        if self.peer is not None:
            figures |= {
                "peer": self.peer,
                "peer_us": _rounded(self.us(self.peer)),
                "ratio_to_peer": _rounded(self.ratio(self.peer), 2),
                "peer_redis_us": _rounded(self.us(self.peer, "redis")),
                "peer_latency_ms": self.latency_ms(self.peer),
            }
        if any(sample.last_viewer_ms for sample in self.samples):
            figures["last_viewer_ms"] = self.last_viewer_ms("relay")
        goals = {
            goal.what: {"limit": goal.limit, "value": _rounded(goal.value, 2), "met": goal.met}
            for goal in self.goals
        }
        saturated = any(sample.saturated for sample in self.samples)
        return {**figures, **self.extra, "goals": goals, "saturated": saturated, "notes": self.notes}

    def tables(self) -> list[Table]:
        """Everything, for people."""
        tables = []
        if self.samples:
            tables.append(self._samples_table())
        if self.extra:
            more = Table("figure", "value", title=f"{self.scenario}: further figures")
            for name, value in self.extra.items():
                for part, figure in value.items() if isinstance(value, dict) else [("", value)]:
                    more.add_row(f"{name} {part}".strip(), str(figure))
            tables.append(more)
        if self.goals:
            goals = Table("goal", "limit", "measured", "", title=f"{self.scenario}: goals")
            for goal in self.goals:
                mark = {None: "not measured", True: "[green]met[/]", False: "[red]not met[/]"}[goal.met]
                goals.add_row(goal.what, f"{goal.limit:g}", _text(goal.value, 2), mark)
            tables.append(goals)
        return tables

    def _samples_table(self) -> Table:
        table = Table(
            "server", "frames/s", "CPU/frame", "Redis", "publisher", "latency p50", "p99", "faults", "idle",
            title=f"{self.scenario}: CPU microseconds per delivered frame, latency in milliseconds",
        )  # fmt: skip
        for target in dict.fromkeys(sample.target for sample in self.samples):
            samples, latency = self.of(target), self.latency_ms(target)
            redis, publisher = self.us(target, "redis"), self.us(target, "publisher")
            table.add_row(
                target, f"{sum(sample.rate for sample in samples) / len(samples):.0f}",
                _text(self.us(target)), _text(redis or None), _text(publisher or None),
                _text(latency.get("p50"), 2), _text(latency.get("p99"), 2),
                str(sum(sample.faults + sample.closed for sample in samples)),
                f"{min(sample.usage.idle for sample in samples):.0%}",
            )  # fmt: skip
        return table


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in found for name in one)
    return {name: _median([one[name] for one in found if name in one]) for name in names}


def _median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else round((ordered[middle - 1] + ordered[middle]) / 2, 3)


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def _text(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
