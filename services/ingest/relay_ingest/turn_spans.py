"""Turn spans: the spans of a turn at its owner, from the turn's timeline; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from opentelemetry.trace import SpanKind

from relay_ingest.turn_timeline import NEVER, TurnTimeline
from relay_telemetry import semconv
from relay_telemetry.trace_context import Attribute, Context, Event
from relay_wire.billing import credits_of


class Span(NamedTuple):
    """The arguments of ``traces.record``, after the name."""

    name: str
    kind: SpanKind
    parent: Context
    context: Context | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    events: Sequence[Event] = ()
    links: Iterable[Context] = ()
    error: str = ""


class TurnSpans:
    """Makes the spans of one owner's turns.

    Args:
        conversation: The conversation.
        generation: The owner's.
        sample_rate: Of the audio.
        wall_ns: The wall time at the moment 0 of the owner's clock.
    """

    def __init__(self, conversation: str, generation: int, *, sample_rate: int, wall_ns: int) -> None:
        self._conversation = conversation
        self._generation = generation
        self._sample_rate = sample_rate
        self._wall_ns = wall_ns

    def of(self, turn: TurnTimeline) -> list[Span]:
        """The spans of a turn that has ended, children first."""
        spans = [self._process(turn)]
        if turn.frames:
            spans.insert(0, self._send(turn))
        if turn.motion_asked_at is not NEVER:
            spans.insert(0, self._motion(turn))
        return spans

    def _process(self, turn: TurnTimeline) -> Span:
        attributes = self._attributes(turn) | {
            **semconv.processes("up"),
            semconv.OUTCOME: turn.outcome,
            semconv.AUDIO_SECONDS: turn.audio_bytes / (2 * self._sample_rate),
        }
        for name, value in (
            (semconv.REASON, turn.reason), (semconv.SOURCE, turn.source), (semconv.FORCED, turn.forced),
        ):  # fmt: skip
            if value:
                attributes[name] = value
        return Span(
            semconv.PROCESS_UP,
            SpanKind.CONSUMER,
            turn.parent,
            turn.context,
            self._ns(turn.at),
            self._ns(turn.ended_at),
            attributes,
            links=turn.links,
            error=(turn.reason or turn.outcome) if turn.outcome == "failed" else "",
        )

    def _send(self, turn: TurnTimeline) -> Span:
        attributes = self._attributes(turn) | {
            **semconv.sends("down"),
            semconv.FRAMES: turn.frames,
            semconv.AUDIO_BYTES: turn.audio_bytes,
            semconv.MOTION_BYTES: turn.motion_bytes,
        }
        return Span(
            semconv.SEND_DOWN,
            SpanKind.PRODUCER,
            turn.context,
            turn.frames_context,
            self._ns(turn.at if turn.started_at is NEVER else turn.started_at),
            self._ns(turn.last_frame_at),
            attributes,
        )

    def _motion(self, turn: TurnTimeline) -> Span:
        attributes = self._attributes(turn) | {semconv.MOTION_BYTES: turn.motion_bytes}
        if turn.session:
            attributes[semconv.MOTION_SESSION] = turn.session
        if turn.session_s:
            attributes[semconv.MOTION_CREDITS] = credits_of(turn.session_s)
        if turn.motion_lead_min_s is not NEVER:
            attributes[semconv.MOTION_LEAD_MIN_SECONDS] = turn.motion_lead_min_s
        ended_at = turn.motion_ended_at if turn.motion_ended_at is not NEVER else turn.ended_at
        return Span(
            semconv.MOTION,
            SpanKind.CLIENT,
            turn.context,
            None,
            self._ns(turn.motion_asked_at),
            self._ns(ended_at),
            attributes,
            events=self._motion_events(turn, ended_at),
            error=turn.motion_failure,
        )

    def _motion_events(self, turn: TurnTimeline, ended_at: float) -> list[Event]:
        events = []
        if turn.at <= turn.session_opened_at < NEVER:
            events.append(Event(semconv.SESSION_OPENED, self._ns(turn.session_opened_at)))
        if turn.first_motion_at is not NEVER:
            events.append(Event(semconv.FIRST_MOTION, self._ns(turn.first_motion_at)))
        if turn.motion_failure:
            events.append(Event(semconv.FAILED, self._ns(ended_at), {semconv.CODE: turn.motion_failure}))
        return events

    def _attributes(self, turn: TurnTimeline) -> dict[str, Attribute]:
        return {
            semconv.CONVERSATION: self._conversation,
            semconv.TURN: turn.turn,
            semconv.GENERATION: self._generation,
        }

    def _ns(self, moment: float) -> int:
        return self._wall_ns + int(moment * 1e9)
