"""Scenarios: the registry of faults, and how one of them is run and judged."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.lab import Lab, Setup, open_lab
from tests.faults.stores import Topology
from tests.faults.verifier import Verdict

LIMIT_S = 60.0
"""Every fault ends within this, set-up and comparing included."""
LONG_S = 180.0
"""How long a repeated fault lasts when requested."""

Story = Callable[[Lab], Awaitable[None]]


class Part(NamedTuple):
    """What a fault needs beside the relay and Redis, and not every machine has."""

    name: str
    """What to install."""
    path: str
    """Where it is then."""

    @property
    def missing(self) -> bool:
        """Whether it is not there."""
        return not Path(self.path).exists()


class Scenario(NamedTuple):
    """One fault: what is done, and what is promised then."""

    name: str
    promise: str
    bound_ms: int
    """Promised recovery of the slowest viewer but one in a hundred."""
    setup: Setup
    story: Story
    fast: bool
    needs: Part | None = None


@dataclass
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    step: str = "starting"
    """The current step."""
    skipped: str = ""
    """Why it was not run, or nothing."""

    @property
    def right(self) -> bool:
        """Whether everything promised held, however long it took."""
        return bool(self.skipped) or (self.verdict.whole and not self.problems)

    @property
    def late(self) -> str:
        """By how much recovery took too long, or nothing."""
        slowest = self.verdict.recovery_ms(0.99)
        if slowest is None or slowest <= self.scenario.bound_ms:
            return ""
        return f"recovery took {slowest:.0f} ms, promised are {self.scenario.bound_ms} ms"

    @property
    def ok(self) -> bool:
        """Whether everything promised held, in time."""
        return self.right and not self.late

    @property
    def complaints(self) -> list[str]:
        """What did not hold, in words."""
        return [*self.problems, *([self.late] if self.late else [])]

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "ok": self.ok,
            "skipped": self.skipped,
            **self.verdict.to_json(),
            "bound_ms": self.scenario.bound_ms,
            "topology": self.scenario.setup.topology,
            "seconds": round(self.seconds, 1),
            "notes": self.notes,
            "problems": self.complaints,
        }


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    promise: str,
    *,
    bound_ms: int,
    fast: bool = False,
    needs: Part | None = None,
    on: Sequence[Topology] = ("one Redis",),
    **setup: Any,
) -> Callable[[Story], Story]:
    """Register a story under its function's name; with the topology's behind it on the second and others.

    Args:
        promise: What holds whatever happens, in one sentence.
        bound_ms: Promised recovery.
        fast: Whether it is among those that ``make test`` runs.
        needs: A part without which it is skipped; in CI it fails then.
        on: The topologies it is run on; the first is the one that ``make test`` takes.
        setup: Of the lab.
    """

    def register(story: Story) -> Story:
        for place, topology in enumerate(on):
            name = f"{story.__name__}_{topology.lower()}" if place else story.__name__
            lab = Setup(**{"topology": topology, **setup})
            SCENARIOS[name] = Scenario(name, promise, bound_ms, lab, story, fast and not place, needs)
        return story

    return register


def lengthened(one: Scenario) -> Scenario:
    """The same for three minutes, if the fault repeats."""
    return one._replace(setup=replace(one.setup, lasts_s=LONG_S)) if one.setup.lasts_s else one


def unreaped(one: Scenario) -> Scenario:
    """The same without the reaper."""
    return one._replace(setup=replace(one.setup, reaped=False))


async def run(one: Scenario, limit_s: float = LIMIT_S) -> Outcome:
    """Run a scenario to its verdict. Never raises: what goes wrong is in the outcome."""
    outcome = Outcome(one)
    if one.needs and one.needs.missing:
        _without(one.needs, outcome)
        return outcome
    limit_s += LONG_S if one.setup.lasts_s == LONG_S else 0
    began = time.monotonic()
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await _play(one, outcome)
    except Exception as error:  # noqa: BLE001  # any failure of a scenario is its outcome
        why = f"not over after {limit_s:g} s" if limit.expired() else _text(error)
        outcome.problems.append(f"{why}, while {outcome.step}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _without(part: Part, outcome: Outcome) -> None:
    why = f"{part.name} is missing"
    if os.environ.get("CI"):
        outcome.problems.append(why)
    else:
        outcome.skipped = why


async def _play(one: Scenario, outcome: Outcome) -> None:
    async with open_lab(one.setup) as lab:
        outcome.problems, outcome.notes = lab.problems, lab.notes
        outcome.step = "under fault"
        try:
            await one.story(lab)
        except Exception as error:  # noqa: BLE001  # the report has what viewers received nevertheless
            lab.problems.append(_text(error))
        outcome.step = "finishing"
        await lab.finish()
        outcome.verdict = verdict = await lab.judge()
        outcome.step = "stopping"
    if verdict.unrecovered:
        lab.problems.append(f"nothing came after the fault for {', '.join(verdict.unrecovered)}")


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_text(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"
