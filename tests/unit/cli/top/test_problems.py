"""Problems: each is a sentence, critical ones first, and a relay that works has none."""

from dataclasses import replace
from typing import Any

import pytest

from relay_cli.top.problems import problems
from relay_cli.top.view import MOTION_LEAD, Conversations, Jobs, Lag, Motion, Process, View, Viewers

FINE = Process("gateway", "g:1", "ready", "", 5, 0.1, 1000, 0.001, "1.0")
LAGS = [Lag(name, 0.001, 0.002, 0.003) for name in ("uplink", "relay latency", "first audio", MOTION_LEAD)]
WORKING = View(
    interval_s=10,
    conversations=Conversations(5, 2, 0, 0, 1.0, {"complete": 4, "interrupted": 1}),
    lags=LAGS,
    motion=Motion(1, 2.0, {}, 1.0, 10),
    viewers=Viewers(5, {}, 0, 0, 0, 0, {}),
    processes=[FINE],
)


def texts(view: View) -> list[str]:
    return [f"{problem.severity}: {problem.text}" for problem in problems(view)]


def lag(**changed: Lag) -> View:
    named = {lag.name: lag for lag in changed.values()}
    return replace(WORKING, lags=[named.get(lag.name, lag) for lag in LAGS])


def process(**changed: Any) -> View:
    return replace(WORKING, processes=[replace(FINE, **changed)])


def conversations(**changed: Any) -> View:
    return replace(WORKING, conversations=replace(WORKING.conversations, **changed))


def viewers(**changed: Any) -> View:
    return replace(WORKING, viewers=replace(WORKING.viewers, **changed))


def jobs(**changed: Any) -> View:
    return replace(WORKING, jobs=replace(Jobs(2, 0.1, 0, {"done": 9}, 0), **changed))


def test_a_relay_that_works_has_no_problem() -> None:
    """With the jobs service and without it."""
    assert problems(WORKING) == problems(jobs()) == []


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (
            process(state="away", why="Connection refused"),
            "critical: gateway g:1 is away: Connection refused",
        ),
        (process(state="not ready", why="", service=""), "critical: process g:1 is not ready"),
        (jobs(discarded=3), "critical: 3 events were discarded: the outbox was full"),
        (jobs(oldest_s=61), "warning: the oldest event has waited for 61 s for a dispatcher"),
        (
            jobs(tasks={"done": 5, "timeout": 2}),
            "warning: tasks ended as timeout 2: the log of the worker has the reason",
        ),
        (jobs(recordings_overdue_s=121), "warning: a recording is overdue for 121 s"),
        (process(state="draining"), "warning: gateway g:1 is draining"),
        (process(why="tls: expired"), "warning: gateway g:1 is degraded: tls: expired"),
        (process(loop_lag_s=0.5), "critical: gateway g:1: its event loop was 0.50 s late"),
        (process(cpu=0.95), "warning: gateway g:1 uses 95% of its core"),
        (
            conversations(unowned=2, unowned_s=9.0),
            "critical: 2 conversations have no owner, the first for 9.0 s",
        ),
        (
            conversations(unowned=1, unowned_s=None),
            "warning: 1 conversations have no owner, the first for 0.0 s",
        ),
        (
            conversations(turns={"complete": 3, "audio_only": 2}),
            "warning: turns ended as audio_only 2: avatar-relay explain CONVERSATION",
        ),
        (
            lag(uplink=Lag("uplink", None, None, 3.0)),
            "warning: the oldest uplink entry has waited for 3.0 s",
        ),
        (
            lag(latency=Lag("relay latency", 0.01, 0.08)),
            "warning: relay latency: p99 is 0.080 s, above 0.05 s",
        ),
        (
            lag(lead=Lag(MOTION_LEAD, 1.0, -0.25)),
            "warning: motion is late: 1 % of the payloads by more than 0.25 s",
        ),
        (
            replace(WORKING, motion=Motion(1, 0.0, {"creditsExhausted": 3}, 0, 0)),
            "warning: Motion sessions failed: creditsExhausted 3",
        ),
        (viewers(closed_slow=2), "warning: 2 viewers were closed as slow (4100)"),
        (viewers(gaps=4), "warning: 4 gaps were sent to viewers"),
        (viewers(catching_up=1), "warning: 1 viewers are behind"),
    ],
)
def test_a_problem(view: View, expected: str) -> None:
    assert texts(view) == [expected]


def test_critical_ones_come_first() -> None:
    """Within a severity the order is that of the speech's way."""
    view = replace(viewers(gaps=1), processes=[replace(FINE, cpu=1.0), replace(FINE, state="away")])

    assert [problem.severity for problem in problems(view)] == ["critical", "warning", "warning"]


def test_what_is_not_known_is_no_problem() -> None:
    """Processes without these series yield none."""
    empty = View(
        0.0, Conversations(None, None, None, None, None, {}),
        [Lag(lag.name, None, None) for lag in LAGS], Motion(None, None, {}, None, None),
        Viewers(None, {}, None, None, None, None, {}), [replace(FINE, cpu=None, loop_lag_s=None)],
    )  # fmt: skip

    assert problems(empty) == []
