"""The schedule: items come when they are due, each once, and removed ones never."""

from functools import partial
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from relay_gateway.schedule import Schedule

T = TypeVar("T")


def pop_all(schedule: Schedule[T], now: float) -> list[T]:
    return list(iter(partial(schedule.pop, now), None))


def test_nothing_is_early() -> None:
    """An item comes in the first tick that begins at or after its moment."""
    schedule = Schedule[str](1.0)
    schedule.add("on the tick", 100.0)
    schedule.add("between", 100.5)
    assert pop_all(schedule, 99.9) == []
    assert pop_all(schedule, 100.0) == ["on the tick"]
    assert pop_all(schedule, 100.9) == []
    assert pop_all(schedule, 101.0) == ["between"]
    assert pop_all(schedule, 1000.0) == []


def test_an_item_of_the_past_is_due_at_once() -> None:
    """Also when later ticks were looked at before."""
    schedule = Schedule[str](0.5)
    schedule.add("late", 10.0)
    schedule.add("later", 20.0)
    assert pop_all(schedule, 15.0) == ["late"]
    schedule.add("past", 3.0)
    assert pop_all(schedule, 15.0) == ["past"]
    assert pop_all(schedule, 20.0) == ["later"]


def test_removed_items_never_come() -> None:
    """Removing one that was popped does nothing."""
    schedule = Schedule[str](1.0)
    kept, removed = schedule.add("kept", 5.0), schedule.add("removed", 5.0)
    alone = schedule.add("alone", 7.0)
    schedule.remove("removed", removed)
    schedule.remove("alone", alone)
    assert list(schedule) == ["kept"]
    assert pop_all(schedule, 10.0) == ["kept"]
    schedule.remove("kept", kept)
    assert list(schedule) == []


@given(
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30),
    st.lists(st.floats(0, 110), max_size=10).map(sorted),
    st.sampled_from([0.1, 0.5, 1.0, 7.0]),
)
def test_each_item_comes_once_and_in_time(
    items: list[tuple[float, bool]], looks: list[float], tick_s: float
) -> None:
    """Whatever is removed meanwhile: never early, and at the first look a tick after its moment."""
    schedule = Schedule[int](tick_s)
    ticks = [schedule.add(number, due) for number, (due, _) in enumerate(items)]
    for number, (_, is_removed) in enumerate(items):
        if is_removed:
            schedule.remove(number, ticks[number])
    waiting = {number for number, (_, is_removed) in enumerate(items) if not is_removed}
    for now in looks:
        for number in pop_all(schedule, now):
            assert items[number][0] <= now + 1e-6
            waiting.remove(number)
        assert all(items[number][0] + tick_s > now - 1e-6 for number in waiting)
        assert set(schedule) == waiting
