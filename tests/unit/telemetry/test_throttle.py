"""Throttles: one line of a kind per interval, and the number of suppressed ones."""

from relay_telemetry.throttle import Throttle


def test_lines_that_repeat_are_held_back() -> None:
    """Each kind by itself."""
    throttle = Throttle(interval_s=3600)

    assert [throttle.admit("a") for _ in range(4)] == [0, None, None, None]
    assert throttle.admit("b") == 0


def test_what_was_held_back_is_counted() -> None:
    """The next admitted line has the number of suppressed ones."""
    throttle = Throttle(interval_s=3600)
    for _ in range(4):
        throttle.admit("a")
    throttle._interval_s = 0

    assert throttle.admit("a") == 3
    assert throttle.admit("a") == 0
