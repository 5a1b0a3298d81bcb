"""Steps: what is done to the cluster, one after the other, and what came of each."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.kube.cluster import Failed
from tests.kube.load import USUAL, Size, Verdict
from tests.kube.release import Release

Action = Callable[[Release], str]
"""Does it, waits for the state that must be reached, and returns what was seen."""


class Step(NamedTuple):
    """One thing that is done to the cluster."""

    name: str
    what: str
    action: Action
    load: Size | None = USUAL
    """What is spoken and watched meanwhile."""
    short: bool = False
    """A part of the short form."""
    prepare: Action | None = None
    """What must be so before, without load."""


@dataclass
class Outcome:
    """What came of a step."""

    step: Step
    seen: str = ""
    problem: str = ""
    verdict: Verdict | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the state was reached and no viewer missed anything."""
        return not self.problem and (self.verdict is None or self.verdict.whole)

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "ok": self.ok,
            "seen": self.seen,
            "problem": self.problem,
            "seconds": round(self.seconds, 1),
            "verifier": dict(self.verdict.report) if self.verdict else None,
        }


def run(step: Step, release: Release) -> Outcome:
    """Run one step, under load where it says so."""
    outcome = Outcome(step)
    started = time.monotonic()
    try:
        if step.prepare:
            step.prepare(release)
        if step.load:
            with release.load.during(step.name, release.cluster, step.load) as load:
                outcome.seen = step.action(release)
                outcome.verdict = load.end()
        else:
            outcome.seen = step.action(release)
    except Failed as error:
        outcome.problem = str(error)
    outcome.seconds = time.monotonic() - started
    return outcome
