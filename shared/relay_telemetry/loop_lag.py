"""Loop lag: how late the event loop runs a timer that is due, and whether it runs any."""

import asyncio
import time
from collections import deque

from prometheus_client import Gauge

from relay_telemetry.fast_histogram import FastHistogram

PROBE_S = 0.25
"""Between two timers."""
WINDOW_S = 10.0
"""How far back the largest lag is searched."""
FRESH_S = 5.0
"""How old the last timer may be while the loop counts as running."""

LAG_SECONDS = FastHistogram(
    "relay_loop_lag_seconds",
    "How late the event loop ran a timer that was due.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LARGEST = Gauge("relay_loop_lag_max_seconds", "The largest lag of the event loop in the last 10 s.")


class LagWindow:
    """The lags of the last seconds. Pure: the caller has the clock.

    Args:
        window_s: How far back.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._lags: deque[tuple[float, float]] = deque()
        """Times and lags; a lag that a later one exceeds is not kept."""

    def add(self, now: float, lag_s: float) -> None:
        """Add a lag that was measured now."""
        while self._lags and self._lags[-1][1] <= lag_s:
            self._lags.pop()
        self._lags.append((now, lag_s))

    def largest(self, now: float) -> float:
        """The largest lag within the window; 0 when it has none."""
        while self._lags and self._lags[0][0] < now - self._window_s:
            self._lags.popleft()
        return self._lags[0][1] if self._lags else 0.0


class LoopLag:
    """Measures the lag of the running loop from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self._window = LagWindow(WINDOW_S)
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._ran_at = 0.0

    def start(self) -> None:
        """Start the timers."""
        self._ran_at = time.monotonic()
        LARGEST.set_function(lambda: self._window.largest(time.monotonic()))
        self._schedule()

    def stop(self) -> None:
        """Stop the timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def fresh(self) -> bool:
        """Whether the loop has run a timer lately."""
        return time.monotonic() - self._ran_at < FRESH_S

    def _schedule(self) -> None:
        # The clock of uvloop stands still during an iteration, which would hide what the iteration takes.
        self._due_at = time.monotonic() + PROBE_S
        self._timer = asyncio.get_running_loop().call_later(PROBE_S, self._run)

    def _run(self) -> None:
        self._ran_at = time.monotonic()
        lag_s = max(0.0, self._ran_at - self._due_at)
        LAG_SECONDS.observe(lag_s)
        self._window.add(self._ran_at, lag_s)
        self._schedule()
