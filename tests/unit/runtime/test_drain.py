"""The schedule of a drain: when each client is advised and closed."""

from hypothesis import given
from hypothesis import strategies as st

from relay_runtime.drain import STEPS, schedule


@given(count=st.integers(0, 200), drain_s=st.floats(0, 3600))
def test_advice_comes_first(count: int, drain_s: float) -> None:
    """Everybody once; a step or more between its advice and its close; all within the drain."""
    departures = schedule(range(count), drain_s)

    assert sorted(departure.session for departure in departures) == list(range(count))
    assert [d.closed_s for d in departures] == sorted(d.closed_s for d in departures)
    for departure in departures:
        assert departure.advised_s >= 0
        assert departure.closed_s - departure.advised_s >= drain_s / STEPS * 0.999
        assert departure.closed_s <= drain_s * 1.001


def test_they_are_spread() -> None:
    """A thousand viewers leave in batches of similar size, none at the same moment as most others."""
    departures = schedule(range(1000), 10.0)
    batches: dict[float, int] = {}
    for departure in departures:
        batches[departure.closed_s] = batches.get(departure.closed_s, 0) + 1

    assert len(batches) == STEPS - 2
    assert max(batches.values()) < 3 * 1000 / STEPS
    assert len({departure.advised_s for departure in departures}) > 990


def test_without_time_all_leave_at_once() -> None:
    """A drain of no length advises and closes everybody now."""
    assert {(d.advised_s, d.closed_s) for d in schedule(range(5), 0)} == {(0, 0)}
