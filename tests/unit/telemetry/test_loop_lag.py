"""Loop lag: the largest of the last seconds, and what a loop that is blocked shows."""

import asyncio
import time

from tests.rigs.metrics import metric

from relay_telemetry import loop_lag
from relay_telemetry.loop_lag import LagWindow, LoopLag


def test_the_largest_lag_counts_until_it_leaves_the_window() -> None:
    window = LagWindow(10)
    assert window.largest(0) == 0

    for now, lag_s in ((0, 0.1), (1, 0.5), (2, 0.2), (3, 0.3), (4, 0.3)):
        window.add(now, lag_s)

    assert window.largest(4) == 0.5
    assert window.largest(11) == 0.5
    assert window.largest(11.5) == 0.3
    assert window.largest(14.5) == 0


async def test_a_blocked_loop_shows_in_both_metrics(no_blocking, eventually, monkeypatch) -> None:
    """With the whole time that it was blocked behind the timer; and it is fresh while timers run."""
    no_blocking.deactivate()
    monkeypatch.setattr(loop_lag, "PROBE_S", 0.01)
    lag = LoopLag()
    lag.start()
    try:
        time.sleep(0.1)  # noqa: ASYNC251  # it blocks the loop
        await eventually(lambda: metric(loop_lag.LARGEST) >= 0.08)
        assert lag.fresh
    finally:
        lag.stop()
    counts = {
        sample.labels.get("le"): sample.value for sample in next(iter(loop_lag.LAG_SECONDS.collect())).samples
    }
    assert counts["+Inf"] > counts["0.05"]


async def test_a_loop_whose_timers_do_not_run_is_not_fresh(monkeypatch) -> None:
    lag = LoopLag()
    assert not lag.fresh

    lag.start()
    assert lag.fresh
    lag.stop()
    lag.stop()
    monkeypatch.setattr(loop_lag, "FRESH_S", 0.0)
    assert not lag.fresh
    await asyncio.sleep(0)
