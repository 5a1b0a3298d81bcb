"""The verdict on a run."""

import pytest
from tests.load.verdict import BREACHES, DELIVER, ROUND, Figures, Limits, complaints

GOOD = {DELIVER: Figures(10_000, 0, p99_ms=80), ROUND: Figures(50, 0)}


def test_a_whole_run_has_no_complaint() -> None:
    """A few failed requests are within the limit."""
    assert complaints({**GOOD, "connect": Figures(200, 20)}, 0, Limits()) == []


@pytest.mark.parametrize("name", BREACHES)
def test_one_breach_is_enough(name: str) -> None:
    """However many requests went well."""
    [complaint] = complaints({**GOOD, name: Figures(1, 1)}, 0, Limits())
    assert complaint.startswith("1 ")


def test_a_run_without_frames_is_not_whole() -> None:
    """Nothing can be lost where nothing was sent."""
    assert complaints({}, 0, Limits()) == ["no frame was delivered"]


def test_the_share_of_errors_is_limited() -> None:
    """Of all requests together."""
    [complaint] = complaints({**GOOD, "POST turns": Figures(500, 200)}, 0, Limits())
    assert complaint == "200 of 10550 requests failed, more than 1.00%"
    assert not complaints({**GOOD, "POST turns": Figures(500, 200)}, 0, Limits(error_share=0.02))


def test_latency_counts_where_it_has_a_limit() -> None:
    """Without one, a slow machine fails nothing."""
    [complaint] = complaints(GOOD, 0, Limits(deliver_p99_ms=50))
    assert complaint == "99 % of the frames came within 80 ms, not 50"


def test_breaches_of_rounds_and_errors_of_the_test_count() -> None:
    """A user that fails in its own code has checked nothing."""
    found = complaints({**GOOD, ROUND: Figures(50, 2)}, 3, Limits())
    assert found == ["2 breaches of the rules of AvatarKit clients", "3 errors in the load test's own code"]
