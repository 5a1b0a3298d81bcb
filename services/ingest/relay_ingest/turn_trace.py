"""Turn trace: the trace span of the current turn, the delay of its motion, and its outcome."""

from typing import get_args

from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from relay_telemetry import traces
from relay_telemetry.counter import counter
from relay_turns.effects import Publish
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.uplink import SpeechChunk

TURNS = counter("relay_ingest_turns_total", "Turns that ended.", outcome=get_args(events.Outcome))
FIRST_MOTION_SECONDS = Histogram(
    "relay_ingest_first_motion_seconds",
    "From a turn's first audio to its first motion.",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)


class TurnTrace:
    """Traces and measures the turns of one conversation, for as long as one worker owns it.

    Args:
        conversation: The conversation's id.
    """

    def __init__(self, conversation: str) -> None:
        self._conversation = conversation
        self._span: traces.Span | None = None
        self._span_turn = 0
        self._first_audio_at: float | None = None
        self.frame_trace = ""
        """The trace context to store with the turn's frames; empty unless the trace is sampled."""

    def begin(self, speech: SpeechChunk) -> None:
        """Start the span of the turn that this speech begins."""
        self.end("interrupted")
        self._span_turn = speech.turn
        self._span = traces.begin(
            "turn",
            kind=SpanKind.CONSUMER,
            parent=speech.traceparent,
            state=speech.tracestate,
            attributes={"relay.conversation": self._conversation, "relay.turn": speech.turn},
        )
        context = self._span.context
        self.frame_trace = context.encode() if context.sampled else ""

    def published(self, publish: Publish, now: float) -> None:
        """Measure a published frame."""
        if publish.kind is Kind.AUDIO and publish.media_ms == 0:
            self._first_audio_at = now
        elif publish.kind is Kind.MOTION and publish.payload and self._first_audio_at is not None:
            FIRST_MOTION_SECONDS.observe(now - self._first_audio_at)
            self._first_audio_at = None
        elif publish.kind is Kind.EVENT:
            event = events.decode(publish.payload)
            if isinstance(event, events.TurnEnded):
                TURNS.labels(event.outcome).inc()
                if publish.turn == self._span_turn:
                    self.end(event.outcome)

    def end(self, outcome: str) -> None:
        """End the span of the current turn, if there is one."""
        if self._span is not None:
            self._span.end(outcome=outcome)
            self._span = None
            self.frame_trace = ""
