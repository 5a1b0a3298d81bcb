"""Stages: what happens to the viewers' connections when, during a run. Pure: times are seconds of the run."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Scenario = Literal["ramp", "avalanche", "rolling", "all"]
SCENARIOS: tuple[Scenario, ...] = ("ramp", "avalanche", "rolling", "all")
DEFAULT_RUN_S = 3600.0
"""The length of a run that has none, as one that the web page starts."""
LONGEST_SETTLE_S = 8.0
"""How long before the end backends finish, so that every viewer can receive the end of its conversation; half
of a run that is shorter than twice this."""


class Break(NamedTuple):
    """Viewers lose their connections: those whose number leaves ``part`` when divided by ``parts``."""

    at_s: float
    part: int = 0
    parts: int = 1


class Plan(NamedTuple):
    """One run."""

    breaks: Sequence[Break]
    """In order of time."""
    finish_s: float
    """Backends end their turns and conversations."""
    end_s: float


def plan(scenario: Scenario, *, run_s: float, ramp_s: float, gateways: int) -> Plan:
    """The stages of a scenario.

    ``ramp`` breaks nothing. In ``avalanche`` all viewers lose their connections at the same moment, as when a
    gateway dies. In ``rolling`` the viewers of one gateway after another do, as in a deployment. ``all`` is
    ``avalanche``, then ``rolling``.

    Args:
        scenario: The scenario.
        run_s: The length of the run; 0 stands for ``DEFAULT_RUN_S``.
        ramp_s: How long users are started for. Connections break after that, or in the later half of a run
            that is shorter.
        gateways: The number of groups in ``rolling``, at least 2.
    """
    end_s = run_s or DEFAULT_RUN_S
    finish_s = end_s - min(LONGEST_SETTLE_S, end_s / 2)
    begin_s = min(ramp_s, finish_s / 2)
    groups = max(gateways, 2)
    third_s = (finish_s - begin_s) / 3
    breaks: list[Break] = []
    if scenario in ("avalanche", "all"):
        breaks.append(Break(begin_s + third_s))
    if scenario in ("rolling", "all"):
        first_s = begin_s + (2 * third_s if scenario == "all" else third_s)
        step_s = (finish_s - first_s) / groups
        breaks += [Break(first_s + step_s * part, part, groups) for part in range(groups)]
    return Plan(breaks, finish_s, end_s)
