"""Viewer time: viewers times seconds, reported in whole milliseconds, of which none is lost."""

from relay_gateway.viewer_time import ViewerTime


def test_viewers_times_seconds() -> None:
    """Each change of the number counts from its moment."""
    time = ViewerTime(100.0)
    time.change(1, 101.0)
    time.change(3, 102.0)
    time.change(0, 104.0)
    assert time.collect(200.0) == 7000
    assert time.collect(300.0) == 0


def test_fractions_add_up() -> None:
    """What is less than a millisecond counts in the next report."""
    time = ViewerTime(0.0)
    time.change(1, 0.0)
    assert sum(time.collect(0.0005 * step) for step in range(1, 2001)) in (999, 1000)


def test_a_report_that_failed() -> None:
    """Its time is in the next one."""
    time = ViewerTime(0.0)
    time.change(2, 0.0)
    collected = time.collect(1.0)
    time.put_back(collected)
    assert time.collect(2.0) == 4000
