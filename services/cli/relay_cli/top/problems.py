"""Problems: what in a view needs a person's attention, the most urgent first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from relay_cli.top.view import MOTION_LEAD, Jobs, Process, View

LATENCY_S = 0.05
"""Relay latency that 99 % of the batches are to stay below."""
FIRST_AUDIO_S = 0.5
"""End-to-end time to first audio that 99 % of the turns are to stay below."""
UPLINK_S = 1.0
UNOWNED_S = 5.0
LOOP_LAG_S = 0.25
EVENT_S = 60.0
"""Age of an event above which nobody consumes it."""
RECORDING_S = 120.0
CPU = 0.9
"""Share of its core above which a process has no reserve."""

_NORMAL_OUTCOMES = ("complete", "interrupted")


@dataclass(frozen=True)
class Problem:
    """One sentence, with the metric or the command to look at next where there is one."""

    severity: Literal["critical", "warning"]
    text: str


def problems(view: View) -> list[Problem]:
    """Every problem that the view shows: critical ones first, in the order of the speech's way."""
    found = [
        *(problem for process in view.processes for problem in _of_process(process)),
        *_of_conversations(view),
        *_of_lags(view),
        *_of_motion(view),
        *_of_viewers(view),
        *_of_jobs(view.jobs),
    ]
    return sorted(found, key=lambda problem: problem.severity)


def _of_process(process: Process) -> Iterator[Problem]:
    name = f"{process.service or 'process'} {process.target}"
    why = f": {process.why}" if process.why else ""
    match process.state:
        case "away" | "not ready":
            yield Problem("critical", f"{name} is {process.state}{why}")
        case "draining":
            yield Problem("warning", f"{name} is draining{why}")
        case "ready" if process.why:
            yield Problem("warning", f"{name} is degraded{why}")
    if (process.loop_lag_s or 0.0) > LOOP_LAG_S:
        yield Problem("critical", f"{name}: its event loop was {process.loop_lag_s:.2f} s late")
    if (process.cpu or 0.0) > CPU:
        yield Problem("warning", f"{name} uses {process.cpu:.0%} of its core")


def _of_conversations(view: View) -> Iterator[Problem]:
    found = view.conversations
    if found.unowned:
        waited_s = found.unowned_s or 0.0
        yield Problem(
            "critical" if waited_s > UNOWNED_S else "warning",
            f"{found.unowned:.0f} conversations have no owner, the first for {waited_s:.1f} s",
        )
    if abnormal := {name: count for name, count in found.turns.items() if name not in _NORMAL_OUTCOMES}:
        yield Problem("warning", f"turns ended as {_counts(abnormal)}: avatar-relay explain CONVERSATION")


def _of_lags(view: View) -> Iterator[Problem]:
    if (view.lag("uplink").worst_s or 0.0) > UPLINK_S:
        yield Problem("warning", f"the oldest uplink entry has waited for {view.lag('uplink').worst_s:.1f} s")
    limits = {"relay latency": LATENCY_S, "first audio": FIRST_AUDIO_S}
    for name, limit_s in limits.items():
        p99_s = view.lag(name).p99_s
        if p99_s is not None and p99_s > limit_s:
            yield Problem("warning", f"{name}: p99 is {p99_s:.3f} s, above {limit_s} s")
    lead_s = view.lag(MOTION_LEAD).p99_s
    if lead_s is not None and lead_s < 0:
        yield Problem("warning", f"motion is late: 1 % of the payloads by more than {-lead_s:.2f} s")


def _of_motion(view: View) -> Iterator[Problem]:
    if view.motion.failures:
        yield Problem("warning", f"Motion sessions failed: {_counts(view.motion.failures)}")


def _of_viewers(view: View) -> Iterator[Problem]:
    found = view.viewers
    if found.closed_slow:
        yield Problem("warning", f"{found.closed_slow:.0f} viewers were closed as slow (4100)")
    if found.gaps:
        yield Problem("warning", f"{found.gaps:.0f} gaps were sent to viewers")
    if found.catching_up:
        yield Problem("warning", f"{found.catching_up:.0f} viewers are behind")


def _of_jobs(found: Jobs | None) -> Iterator[Problem]:
    if found is None:
        return
    if found.discarded:
        yield Problem("critical", f"{found.discarded:.0f} events were discarded: the outbox was full")
    if (found.oldest_s or 0.0) > EVENT_S:
        yield Problem("warning", f"the oldest event has waited for {found.oldest_s:.0f} s for a dispatcher")
    if failed := {name: count for name, count in found.tasks.items() if name != "done"}:
        yield Problem("warning", f"tasks ended as {_counts(failed)}: the log of the worker has the reason")
    if (found.recordings_overdue_s or 0.0) > RECORDING_S:
        yield Problem("warning", f"a recording is overdue for {found.recordings_overdue_s:.0f} s")


def _counts(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in counts.items())
