"""Turn trace: records the turns of one conversation as they pass its owner, and reports each at its end.

A report is one line in the log, the metrics of the turn, and its spans where spans leave the process. A turn
that fails, continues without motion or is slow has its spans recorded although the sampler did not choose it:
its frames carry the sampled flag from that moment on.
"""

import time
from collections.abc import Mapping, Sequence
from typing import get_args

import structlog
from prometheus_client import Histogram

from relay_ingest.turn_spans import TurnSpans
from relay_ingest.turn_timeline import NEVER, TurnTimeline
from relay_telemetry import traces
from relay_telemetry.counter import counter
from relay_telemetry.fast_histogram import FastHistogram, FastHistograms
from relay_telemetry.trace_context import Context
from relay_turns.effects import Publish
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.uplink import SpeechChunk

_OUTCOMES = get_args(events.Outcome)
TURNS = counter("relay_ingest_turns_total", "Turns that ended.", outcome=_OUTCOMES)
FIRST_MOTION_SECONDS = Histogram(
    "relay_ingest_first_motion_seconds",
    "From a turn's first audio to its first motion.",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)
FIRST_AUDIO_SECONDS = FastHistogram(
    "relay_turn_first_audio_seconds",
    "From the storing of a turn's first speech, or the end of the turn before if that is later, to the "
    "append of its first audio.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LEAD_SECONDS = FastHistogram(
    "relay_motion_lead_seconds",
    "At each motion payload, how far the motion published reaches beyond the time since the turn's first"
    " audio; below 0 it is late.",
    buckets=(-5, -2.5, -1, -0.5, -0.25, -0.1, 0, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TURN_SECONDS = FastHistograms(
    "relay_ingest_turn_seconds",
    "From turn_started to turn_ended.",
    buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
    outcome=_OUTCOMES,
)

MOTION_BYTES_PER_S = 20_000
"""Motion of one second of speech (facts 4), until a complete turn of the conversation shows it."""
LEFT = "left"
"""The outcome at an owner that does not see the turn's end."""

log = structlog.get_logger(__name__)


class TurnTrace:
    """Records the turns of one conversation, for as long as one worker owns it.

    Args:
        conversation: The conversation's id.
        generation: The owner's.
        sample_rate: Of the audio.
        slow_s: The time from first audio to first motion after which a turn is traced; 0: never for that.
        now: The time on the owner's clock, as all of them.
    """

    def __init__(
        self, conversation: str, generation: int, *, sample_rate: int, slow_s: float, now: float
    ) -> None:
        self._conversation = conversation
        self._sample_rate = sample_rate
        self._slow_s = slow_s or NEVER
        self._log: structlog.stdlib.BoundLogger = log.bind(conversation=conversation, generation=generation)
        wall_ns = time.time_ns() - int(now * 1e9)
        self._wall_ms = wall_ns / 1e6
        self._spans = TurnSpans(conversation, generation, sample_rate=sample_rate, wall_ns=wall_ns)
        self._turn = self._next = TurnTimeline(0, now)
        self._motion_bytes_per_s = float(MOTION_BYTES_PER_S)
        self._session, self._session_opened_at = "", NEVER
        self.ended: dict[int, Mapping[str, object]] = {}
        """By turn, the fields of those that ended with the frames recorded last."""

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger whose lines have the conversation, and of a running turn its number and its trace's id."""
        turn = self._turn
        if not turn.is_running:
            return self._log
        trace_id = turn.context.trace_id or turn.parent.trace_id
        return self._log.bind(turn=turn.turn, **({"trace_id": trace_id} if trace_id else {}))

    # --- input ---------------------------------------------------------------------------------

    def begin(self, speech: SpeechChunk, stored_ms: int, ready_ms: int, now: float) -> None:
        """Record the speech that begins a turn, before the turn's first frame.

        Args:
            speech: The first.
            stored_ms: The wall time at which it was stored.
            ready_ms: The same, or the wall time at which the turn before was over, if that is later.
            now: The owner's clock.
        """
        turn = self._next = _timeline(speech.turn, now, Context(speech.traceparent, speech.tracestate))
        turn.source = speech.source
        turn.stored_ms = turn.stored_last_ms = stored_ms
        turn.ready_ms = ready_ms

    def resume(self, state: TurnState, now: float) -> None:
        """Record that this owner continues the turn of the former one, if that was spoken."""
        if state.phase == "speaking":
            self._turn = _timeline(state.turn, now, Context.decode(state.trace))
            self._turn.owner_changes = state.owner_changes + 1

    def further(self, speech: SpeechChunk, stored_ms: int) -> None:
        """Record further speech of the running turn."""
        turn = self._turn
        if speech.turn != turn.turn or not turn.is_running:
            return
        turn.stored_last_ms = stored_ms
        if speech.traceparent:
            turn.link(Context(speech.traceparent, speech.tracestate))

    # --- motion --------------------------------------------------------------------------------

    def motion_asked(self, now: float) -> None:
        """Record that audio of the turn is sent to Motion Server."""
        turn = self._turn
        if turn.motion_asked_at is NEVER:
            turn.motion_asked_at = now
            turn.session, turn.session_opened_at = self._session, self._session_opened_at

    def session_opened(self, session: str, at: float) -> None:
        """Record the Motion session that serves the conversation from now on, and when it was opened."""
        self._session, self._session_opened_at = session, at
        turn = self._turn
        if turn.is_running and turn.motion_asked_at is not NEVER:
            turn.session, turn.session_opened_at = session, at

    def session_closed(self, now: float) -> None:
        """Record that no Motion session serves the conversation."""
        turn = self._turn
        if turn.is_running and turn.session_opened_at is not NEVER:
            turn.session_s = now - turn.session_opened_at
        self._session, self._session_opened_at = "", NEVER

    # --- frames --------------------------------------------------------------------------------

    def published(self, publishes: Sequence[Publish], now: float) -> Sequence[str]:
        """Record frames that are about to be appended.

        Returns:
            By frame, the trace context to store with it; empty when that is none for all of them.
        """
        contexts: list[str] | None = None
        if self.ended:
            self.ended = {}
        for index, publish in enumerate(publishes):
            turn = self._turn
            if not publish.turn:
                continue
            if publish.turn != turn.turn:
                if publish.turn != self._next.turn:
                    continue  # The turn was over before this owner.
                turn = self._turn = self._next
            self._record(turn, publish, now)
            if turn.frame_trace:
                if contexts is None:
                    contexts = [""] * len(publishes)
                contexts[index] = turn.frame_trace
        return contexts or ()

    def _record(self, turn: TurnTimeline, publish: Publish, now: float) -> None:
        kind = publish.kind
        turn.frames += 1
        turn.last_frame_at = now
        if now > turn.slow_at:
            self._force(turn, "slow")
        if kind is Kind.AUDIO:
            turn.audio_bytes += len(publish.payload)
            if turn.first_audio_at is NEVER and publish.payload:
                self._first_audio(turn, publish, now)
        elif kind is Kind.MOTION:
            if publish.payload:
                self._motion(turn, len(publish.payload), now)
        else:
            self._event(turn, events.decode(publish.payload), now)

    def _first_audio(self, turn: TurnTimeline, publish: Publish, now: float) -> None:
        if publish.media_ms:
            return  # The first of this owner, not of the turn.
        turn.first_audio_at = now
        turn.slow_at = now + self._slow_s
        if turn.ready_ms:
            delay_s = now - (turn.ready_ms - self._wall_ms) / 1000
            FIRST_AUDIO_SECONDS.observe(max(delay_s, 0.0), turn.trace_id)

    def _motion(self, turn: TurnTimeline, size_bytes: int, now: float) -> None:
        if turn.motion_asked_at is NEVER:
            # Of a clip, whose motion comes with its audio: Motion Server has no part in it.
            turn.motion_published(now, size_bytes)
            return
        is_first = turn.first_motion_at is NEVER
        lead_s = turn.motion_arrived(now, size_bytes, self._motion_bytes_per_s)
        LEAD_SECONDS.observe(lead_s, turn.trace_id)
        if is_first:
            FIRST_MOTION_SECONDS.observe(now - turn.first_audio_at)

    def _event(self, turn: TurnTimeline, event: events.Event | events.Unknown, now: float) -> None:
        match event:
            case events.TurnStarted():
                turn.started_at = now
            case events.AudioOnly(reason):
                turn.audio_only = reason
                turn.slow_at = NEVER
                if turn.motion_asked_at is not NEVER:
                    turn.motion_failure, turn.motion_ended_at = reason, now
                self._force(turn, "audio_only")
            case events.Interrupted(reason) | events.Error(reason):
                turn.reason = reason
            case events.TurnEnded(outcome):
                if outcome == "failed":
                    self._force(turn, "failed")
                self._end(turn, outcome, now)

    # --- the end -------------------------------------------------------------------------------

    def leave(self, now: float) -> None:
        """Report the running turn, which another owner continues or ends."""
        if self._turn.is_running:
            self._turn.end(now, LEFT)
            self._record_spans(self._turn)

    def _end(self, turn: TurnTimeline, outcome: str, now: float) -> None:
        TURNS.labels(outcome).inc()
        if not turn.is_running:
            return
        turn.end(now, outcome)
        if turn.started_at is not NEVER:
            TURN_SECONDS[outcome].observe(now - turn.started_at, turn.trace_id)
        if outcome == "complete" and turn.motion_bytes and not turn.owner_changes:
            self._motion_bytes_per_s = turn.motion_bytes * 2 * self._sample_rate / turn.audio_bytes
        line = self.ended[turn.turn] = turn.line(
            conversation=self._conversation, sample_rate=self._sample_rate, wall_ms=self._wall_ms
        )
        self._log.info("turn ended", **line)
        self._record_spans(turn)

    def _record_spans(self, turn: TurnTimeline) -> None:
        if turn.trace_id:
            for span in self._spans.of(turn):
                traces.record(**span._asdict())

    @staticmethod
    def _force(turn: TurnTimeline, why: str) -> None:
        turn.slow_at = NEVER
        if turn.context and not turn.context.sampled:
            turn.forced = why
            turn.trace(traces.force(turn.context), traces.force(turn.frames_context))


def _timeline(turn: int, now: float, parent: Context) -> TurnTimeline:
    if not traces.enabled():
        return TurnTimeline(turn, now, parent=parent)
    context = traces.child(parent)
    return TurnTimeline(turn, now, parent=parent, context=context, frames_context=traces.child(context))
