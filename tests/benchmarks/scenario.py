"""Scenarios: the work that is measured, by name."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.report import Report

Progress = Callable[[str], None]
"""Shows the step that a scenario is at."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for; None is the scenario's own default."""

    quick: bool = False
    peer: str | None = None
    conversations: int | None = None
    viewers: int | None = None
    rate: float | None = None
    frame_bytes: int | None = None
    seconds: float | None = None
    profile: Path | None = None
    plot: Path | None = None
    progress: Progress = field(default=lambda _: None)


Run = Callable[[Options], Awaitable[Report]]


@dataclass(frozen=True)
class Scenario:
    """One kind of work."""

    name: str
    what: str
    run: Run
    peers: bool
    """Whether others can do it, too."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, what: str, *, peers: bool = True) -> Callable[[Run], Run]:
    """Register a function as a scenario."""

    def register(run: Run) -> Run:
        SCENARIOS[name] = Scenario(name, what, run, peers)
        return run

    return register
