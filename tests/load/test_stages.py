"""The plan of a run."""

import pytest
from tests.load.stages import DEFAULT_RUN_S, SCENARIOS, Break, Scenario, plan


def test_a_run_finishes_before_it_ends() -> None:
    """Half of a short run is for the ends of the conversations, 8 s of a long one."""
    assert plan("ramp", run_s=12, ramp_s=5, gateways=2) == ([], 6, 12)
    assert plan("ramp", run_s=600, ramp_s=5, gateways=2) == ([], 592, 600)
    assert plan("ramp", run_s=0, ramp_s=5, gateways=2).end_s == DEFAULT_RUN_S


def test_an_avalanche_is_one_break_of_everybody() -> None:
    """It comes when all users are there."""
    assert plan("avalanche", run_s=128, ramp_s=30, gateways=3).breaks == [Break(60)]


def test_a_rolling_deployment_breaks_one_group_after_the_other() -> None:
    """Each viewer loses its connection once; a single gateway still has two groups."""
    breaks = plan("rolling", run_s=128, ramp_s=30, gateways=3).breaks
    assert [(one.part, one.parts) for one in breaks] == [(0, 3), (1, 3), (2, 3)]
    assert len(plan("rolling", run_s=128, ramp_s=30, gateways=0).breaks) == 2


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("ramp_s", [0, 5, 500])
def test_every_break_lies_between_the_start_and_the_finish(scenario: Scenario, ramp_s: float) -> None:
    """In order, however long users take to start."""
    found = plan(scenario, run_s=60, ramp_s=ramp_s, gateways=4)

    times = [one.at_s for one in found.breaks]
    assert times == sorted(times)
    assert all(min(ramp_s, found.finish_s / 2) <= at_s < found.finish_s < found.end_s for at_s in times)
    assert len(times) == {"ramp": 0, "avalanche": 1, "rolling": 4, "all": 5}[scenario]
