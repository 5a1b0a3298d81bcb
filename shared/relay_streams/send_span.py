"""Send spans: the span of one request that brings speech of a turn, from its first piece to its last."""

import time

from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import NO_TRACE, Context


class SendSpan:
    """A span ``send up``. It begins with its construction.

    Args:
        parent: The context that the request came with.
        conversation: The conversation.
        source: The kind of the speaker.
        resumes: Whether the turn was opened by another request: then a request without a context has none.
    """

    def __init__(self, parent: Context, *, conversation: str, source: str, resumes: bool) -> None:
        self.context = NO_TRACE if resumes and not parent else traces.new_context(parent)
        """What goes with the speech."""
        self._parent = parent
        self._conversation = conversation
        self._source = source
        self._start_ns = time.time_ns()
        self._ended = False

    def end(self, *, turn: int, audio_bytes: int, error: str = "") -> None:
        """Record the span. Calls after the first have no effect.

        Args:
            turn: The turn; 0: none was opened.
            audio_bytes: What the request has brought.
            error: Why it brought no more; empty: that was all.
        """
        if self._ended or not self.context:
            return
        self._ended = True
        traces.record(
            semconv.SEND_UP,
            kind=traces.SpanKind.PRODUCER,
            parent=self._parent,
            context=self.context,
            start_ns=self._start_ns,
            end_ns=time.time_ns(),
            attributes={
                **semconv.sends("up"),
                semconv.CONVERSATION: self._conversation,
                semconv.TURN: turn,
                semconv.SOURCE: self._source,
                semconv.AUDIO_BYTES: audio_bytes,
            },
            error=error,
        )
