"""View: what is shown of a relay at one time. A field is None when no process exports its series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relay_cli.top.history import Observed
from relay_cli.top.interval import Interval, merged, quantile
from relay_wire.frame import HEADER_BYTES

State = Literal["away", "not ready", "draining", "ready"]
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Conversations:
    """Conversations of the relay, and the turns that ended in the interval."""

    owned: float | None
    active: float | None
    """Those with speech during the last ``RELAY_CONVERSATION_ACTIVE_S``."""
    unowned: float | None
    unowned_s: float | None
    """The longest wait of one without an owner."""
    speech_s_per_s: float | None
    """Seconds of audio published per second: how many avatars speak at a time, on average."""
    turns: dict[str, float]
    """Turns that ended in the interval, by outcome."""


@dataclass(frozen=True)
class Lag:
    """How late something is, in seconds."""

    name: str
    p50_s: float | None
    p99_s: float | None
    """99 % are better than this: shorter, or, of the motion lead, larger."""
    worst_s: float | None = None
    """The worst one known now; None where no gauge holds it."""


@dataclass(frozen=True)
class Motion:
    """Motion sessions."""

    sessions: float | None
    opened_per_minute: float | None
    failures: dict[str, float]
    """Failures in the interval, by the vendor's code."""
    connected_minutes: float | None
    """Since the processes started."""
    credits: float | None
    """Since the processes started, by the vendor's rule."""


@dataclass(frozen=True)
class Viewers:
    """Viewers, and what the slow ones among them cost. Counts are of the interval."""

    open: float | None
    protocols: dict[str, float]
    catching_up: float | None
    closed_slow: float | None
    gaps: float | None
    unsent_bytes: float | None
    uplink_dropped: dict[str, float]
    """Messages that did not enter the uplink, by reason."""


@dataclass(frozen=True)
class Jobs:
    """What follows from events of conversations."""

    waiting: float | None
    """Events that no dispatcher has consumed."""
    oldest_s: float | None
    """The age of the oldest of them."""
    discarded: float | None
    """Events that a full outbox has discarded in the interval."""
    tasks: dict[str, float]
    """Tasks that ended in the interval, by outcome."""
    recordings_overdue_s: float | None
    """How long the recording that has waited longest for a worker is overdue."""


@dataclass(frozen=True)
class Process:
    """One target."""

    service: str
    """Empty when it was never seen."""
    target: str
    state: State
    why: str
    """The reasons of a state that is not ``ready``; of a ready process why it is degraded."""
    work: float | None
    """Viewers of a gateway, conversations of an ingest worker, audio sockets of control."""
    cpu: float | None
    """Share of one core."""
    rss_bytes: float | None
    loop_lag_s: float | None
    """The largest lag of its event loop during the last 10 s."""
    version: str


@dataclass(frozen=True)
class View:
    """Everything."""

    interval_s: float
    """The longest interval that counts and quantiles are of; 0 after one round."""
    conversations: Conversations
    lags: list[Lag]
    motion: Motion
    viewers: Viewers
    processes: list[Process]
    """What is wrong first."""
    jobs: Jobs | None = None
    """None where no process is of the jobs service."""

    def lag(self, name: str) -> Lag:
        """One of the lags."""
        return next(lag for lag in self.lags if lag.name == name)


def view(observed: Sequence[Observed], *, sample_rate: int = 16000) -> View:
    """Compute the view of a round.

    Args:
        observed: Its targets.
        sample_rate: Of the conversations' audio, in hertz: published bytes are converted to seconds with it.
    """
    intervals = [each.interval for each in observed if each.interval is not None]
    return View(
        interval_s=max((interval.seconds for interval in intervals), default=0.0),
        conversations=_conversations(intervals, sample_rate),
        lags=_lags(intervals),
        motion=_motion(intervals),
        viewers=_viewers(intervals),
        processes=sorted(map(_process, observed), key=_order),
        jobs=_jobs(intervals),
    )


def _conversations(intervals: list[Interval], sample_rate: int) -> Conversations:
    return Conversations(
        owned=_total(intervals, "relay_ingest_conversations"),
        active=_total(intervals, "relay_ingest_active_conversations"),
        # The same at every worker: each measures the queues of the whole relay.
        unowned=_largest(intervals, "relay_ingest_unowned_conversations"),
        unowned_s=_largest(intervals, "relay_ingest_unowned_seconds"),
        speech_s_per_s=_sum(_speech(interval, sample_rate) for interval in intervals),
        turns=_increases(intervals, "relay_ingest_turns_total", "outcome"),
    )


def _speech(interval: Interval, sample_rate: int) -> float | None:
    size_bytes = interval.rate("relay_publish_bytes_total", kind="audio")
    frames = interval.rate("relay_publish_frames_total", kind="audio")
    if size_bytes is None or frames is None:
        return None
    return max(0.0, size_bytes - frames * HEADER_BYTES) / (2 * sample_rate)


LATENESS = {
    "uplink": "relay_ingest_uplink_seconds",
    "relay latency": "relay_gateway_latency_seconds",
    "first audio": "relay_gateway_first_audio_seconds",
    "first motion": "relay_gateway_first_motion_seconds",
    "Redis command": "relay_redis_command_seconds",
    "loop lag": "relay_loop_lag_seconds",
}
"""Histograms of lateness by the name of their row."""
MOTION_LEAD = "motion lead"
_WORST = {"uplink": "relay_ingest_uplink_oldest_seconds", "loop lag": "relay_loop_lag_max_seconds"}


def _lags(intervals: list[Interval]) -> list[Lag]:
    lags = [
        Lag(
            name,
            _quantile(0.5, intervals, histogram),
            _quantile(0.99, intervals, histogram),
            _largest(intervals, _WORST[name]) if name in _WORST else None,
        )
        for name, histogram in LATENESS.items()
    ]
    lead = "relay_motion_lead_seconds"
    return [*lags, Lag(MOTION_LEAD, _quantile(0.5, intervals, lead), _quantile(0.01, intervals, lead))]


def _motion(intervals: list[Interval]) -> Motion:
    opened = _sum(interval.rate("relay_motion_opened_total") for interval in intervals)
    connected = _total(intervals, "relay_motion_connected_seconds_total")
    return Motion(
        sessions=_total(intervals, "relay_motion_sessions"),
        opened_per_minute=None if opened is None else opened * _MINUTE_S,
        failures=_increases(intervals, "relay_motion_failures_total", "code"),
        connected_minutes=None if connected is None else connected / _MINUTE_S,
        credits=_total(intervals, "relay_motion_credits_total"),
    )


def _viewers(intervals: list[Interval]) -> Viewers:
    protocols: dict[str, float] = {}
    for interval in intervals:
        for protocol, count in interval.after.by("relay_gateway_viewers", "protocol").items():
            protocols[protocol] = protocols.get(protocol, 0.0) + count
    return Viewers(
        open=_total(intervals, "relay_gateway_viewers"),
        protocols={protocol: count for protocol, count in protocols.items() if protocol and count},
        catching_up=_total(intervals, "relay_gateway_catching_up"),
        closed_slow=_sum(
            interval.increase("relay_gateway_closes_total", code="slow_consumer") for interval in intervals
        ),
        gaps=_sum(interval.increase("relay_gateway_gaps_total") for interval in intervals),
        unsent_bytes=_total(intervals, "relay_gateway_unsent_bytes"),
        uplink_dropped=_increases(intervals, "relay_gateway_uplink_dropped_total", "reason"),
    )


def _jobs(intervals: list[Interval]) -> Jobs | None:
    # The same at every dispatcher: each reads the outbox of the whole relay.
    waiting = _largest(intervals, "relay_jobs_outbox_entries")
    tasks = _increases(intervals, "relay_jobs_tasks_ended_total", "outcome")
    if waiting is None and not tasks:
        return None
    discarded = (interval.increase("relay_jobs_outbox_discarded_total") for interval in intervals)
    return Jobs(
        waiting=waiting,
        oldest_s=_largest(intervals, "relay_jobs_outbox_oldest_seconds"),
        discarded=max((each for each in discarded if each is not None), default=None),
        tasks=tasks,
        recordings_overdue_s=_largest(intervals, "relay_jobs_recordings_overdue_seconds"),
    )


_WORK = {
    "gateway": "relay_gateway_viewers",
    "ingest": "relay_ingest_conversations",
    "control": "relay_control_speakers",
}


def _process(observed: Observed) -> Process:
    answer, interval, service = observed.answer, observed.interval, observed.service
    state, why = _state(observed)
    if answer.scraped is None or interval is None:
        return Process(service, observed.target, state, why, None, None, None, None, "")
    scraped = answer.scraped
    return Process(
        service=service,
        target=observed.target,
        state=state,
        why=why,
        work=scraped.total(_WORK.get(service, "")),
        cpu=interval.rate("process_cpu_seconds_total"),
        rss_bytes=scraped.total("process_resident_memory_bytes"),
        loop_lag_s=scraped.largest("relay_loop_lag_max_seconds"),
        version=scraped.text("relay_build_info", "version"),
    )


def _state(observed: Observed) -> tuple[State, str]:
    answer = observed.answer
    if answer.scraped is None:
        return "away", answer.away
    reasons = answer.reasons
    if reasons.get("process") == "draining" or answer.scraped.total("relay_draining"):
        return "draining", _joined({part: text for part, text in reasons.items() if part != "process"})
    ready = answer.ready if answer.ready is not None else answer.scraped.total("relay_ready") != 0
    return ("ready", _joined(answer.degraded)) if ready else ("not ready", _joined(reasons))


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{part}: {reason}" for part, reason in reasons.items())


_STATES: tuple[State, ...] = ("away", "not ready", "draining", "ready")


def _order(process: Process) -> tuple[int, bool, float, float, str, str]:
    return (
        _STATES.index(process.state),
        not process.why,
        -(process.loop_lag_s or 0.0),
        -(process.cpu or 0.0),
        process.service,
        process.target,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _total(intervals: list[Interval], name: str) -> float | None:
    return _sum(interval.after.total(name) for interval in intervals)


def _largest(intervals: list[Interval], name: str) -> float | None:
    found = (interval.after.largest(name) for interval in intervals)
    return max((value for value in found if value is not None), default=None)


def _increases(intervals: list[Interval], name: str, label: str) -> dict[str, float]:
    total: dict[str, float] = {}
    for interval in intervals:
        for value, increase in interval.increases(name, label).items():
            total[value] = total.get(value, 0.0) + increase
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _quantile(q: float, intervals: list[Interval], histogram: str) -> float | None:
    return quantile(q, merged([interval.observed(histogram) for interval in intervals]))
