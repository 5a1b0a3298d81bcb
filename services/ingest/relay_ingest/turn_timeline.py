"""Turn timeline: what one turn was and when, as plain numbers; pure.

Moments are on the owner's clock in seconds, the event loop's, but for those that came with the speech: these
are wall times in milliseconds by the clock of Redis.
"""

import math
from collections.abc import Mapping

from relay_telemetry.trace_context import NO_TRACE, Context
from relay_wire.billing import credits_of

NEVER = math.inf
"""A moment that does not come."""


class TurnTimeline:
    """One turn at one owner, from its first speech here to its end or to the owner's.

    Args:
        turn: Its number; 0: none, nothing of which is recorded.
        at: When this owner began with it.
        parent: The context that its first speech came with.
        context: The context of its span at this owner; none where no spans are recorded.
        frames_context: The context of its frames; likewise.
    """

    __slots__ = (
        "at",
        "audio_bytes",
        "audio_only",
        "context",
        "ended_at",
        "first_audio_at",
        "first_motion_at",
        "forced",
        "frame_trace",
        "frames",
        "frames_context",
        "last_frame_at",
        "links",
        "motion_asked_at",
        "motion_bytes",
        "motion_ended_at",
        "motion_failure",
        "motion_lead_min_s",
        "outcome",
        "owner_changes",
        "parent",
        "ready_ms",
        "reason",
        "session",
        "session_opened_at",
        "session_s",
        "slow_at",
        "source",
        "started_at",
        "stored_last_ms",
        "stored_ms",
        "trace_id",
        "turn",
    )  # fmt: skip

    def __init__(
        self,
        turn: int,
        at: float,
        *,
        parent: Context = NO_TRACE,
        context: Context = NO_TRACE,
        frames_context: Context = NO_TRACE,
    ) -> None:
        self.turn = turn
        self.at = at
        self.parent = parent
        self.links: list[Context] = []
        """The contexts that further speech came with."""
        self.source = ""
        """The kind of its speaker; empty: unknown."""
        self.stored_ms = self.stored_last_ms = 0
        """When its first speech was stored, and its last; 0: unknown."""
        self.ready_ms = 0
        """When its first speech was stored and the turn before was over; 0: unknown."""
        self.owner_changes = 0
        """Owners of the turn before this one."""
        self.started_at = self.first_audio_at = self.first_motion_at = NEVER
        self.slow_at = NEVER
        """When the turn counts as slow, unless its motion has begun."""
        self.frames = self.audio_bytes = self.motion_bytes = 0
        self.last_frame_at = at
        self.motion_lead_min_s = NEVER
        """The least of what was published of motion, less what had passed since the first audio."""
        self.motion_asked_at = self.motion_ended_at = NEVER
        """When the first audio was sent to Motion Server, and when its last answer came."""
        self.motion_failure = ""
        self.session = ""
        """The vendor's id of the Motion session."""
        self.session_opened_at = NEVER
        self.session_s = 0.0
        """How long it had been open when the turn ended."""
        self.audio_only = ""
        """Why the turn continued without motion."""
        self.ended_at = NEVER
        self.outcome = ""
        self.reason = ""
        self.forced = ""
        """Why spans are recorded that the sampler did not choose."""
        self.trace(context, frames_context)

    def trace(self, context: Context, frames_context: Context) -> None:
        """Set the contexts of the turn's span, and of its frames."""
        self.context = context
        self.frames_context = frames_context
        self.frame_trace = frames_context.encode() if frames_context.sampled else ""
        """The context to store with frames; empty unless it is sampled."""
        self.trace_id = context.trace_id if context.sampled else ""
        """The id of a trace that is recorded, for exemplars."""

    @property
    def is_running(self) -> bool:
        """Whether there is a turn, and it has not ended."""
        return bool(self.turn) and not self.outcome

    def link(self, context: Context) -> None:
        """Record the context of further speech, if it is another one."""
        if context and context != self.parent and context not in self.links:
            self.links.append(context)

    def motion_published(self, now: float, size_bytes: int) -> None:
        """Record a motion payload, wherever it came from."""
        if self.first_motion_at is NEVER:
            self.first_motion_at = now
            self.slow_at = NEVER
        self.motion_bytes += size_bytes

    def motion_arrived(self, now: float, size_bytes: int, bytes_per_s: float) -> float:
        """Record a motion payload. Returns by how many seconds motion is ahead of playback; negative: late.

        Args:
            now: The moment.
            size_bytes: Of the payload.
            bytes_per_s: How much motion is a second of it.
        """
        self.motion_published(now, size_bytes)
        self.motion_ended_at = now
        lead_s = self.motion_bytes / bytes_per_s - (now - self.first_audio_at)
        self.motion_lead_min_s = min(self.motion_lead_min_s, lead_s)
        return lead_s

    def end(self, now: float, outcome: str) -> None:
        """Record the end."""
        self.ended_at = now
        self.outcome = outcome
        self.slow_at = NEVER
        self.reason = "" if outcome == "complete" else self.reason or self.audio_only
        if self.session_opened_at is not NEVER and not self.session_s:
            self.session_s = now - self.session_opened_at

    def line(self, *, conversation: str, sample_rate: int, wall_ms: float) -> Mapping[str, object]:
        """The fields of the log line of a turn that has ended, without those that are unknown.

        Args:
            conversation: Its id.
            sample_rate: Of its audio.
            wall_ms: The wall time at the moment 0 of the owner's clock.
        """
        ready_at = (self.ready_ms - wall_ms) / 1000 if self.ready_ms else NEVER
        fields: dict[str, object] = {
            "conversation": conversation,
            "turn": self.turn,
            "outcome": self.outcome,
            "reason": self.reason,
            "trace_id": self.context.trace_id or self.parent.trace_id,
            "source": self.source,
            "input_s": _seconds(self.stored_last_ms / 1000, self.stored_ms / 1000)
            if self.stored_ms
            else None,
            "waited_ms": max(self.ready_ms - self.stored_ms, 0) or None,
            "first_audio_ms": _milliseconds(self.first_audio_at, ready_at),
            "first_motion_ms": _milliseconds(self.first_motion_at, self.first_audio_at),
            "motion_lead_min_ms": _milliseconds(self.motion_lead_min_s, 0.0, least=-NEVER),
            "audio_s": round(self.audio_bytes / (2 * sample_rate), 3),
            "audio_bytes": self.audio_bytes,
            "motion_bytes": self.motion_bytes,
            "frames": self.frames,
            "motion_session_s": round(self.session_s, 3) or None,
            "motion_credits": credits_of(self.session_s) if self.session_s else None,
            "owner_changes": self.owner_changes,
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}


def _seconds(until: float, since: float) -> float:
    return round(max(until - since, 0.0), 3)


def _milliseconds(until: float, since: float, *, least: float = 0.0) -> int | None:
    """The time between two moments; None when one of them did not come."""
    return None if NEVER in (until, since) else round(max(until - since, least) * 1000)
