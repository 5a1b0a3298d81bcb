"""Write times: when the frames of one feed were written to its live viewers' sockets."""

from time import time_ns

from relay_gateway.fanout.meter import DeliveryMeter
from relay_gateway.fanout.turn_delivery import TurnDelivery
from relay_gateway.flush import Timed, WriteCoalescer
from relay_streams.keys import ConversationKeys
from relay_telemetry import semconv, traces
from relay_telemetry.traces import Context, Event, SpanKind


class WriteTimes(Timed):
    """Passes the time of each write to the meter of one feed, and records a span for each turn.

    Args:
        keys: The conversation.
        meter: Of its feed.
        coalescer: Flushes the sockets.
    """

    __slots__ = ("_coalescer", "_keys", "_meter", "_scheduled")

    def __init__(self, keys: ConversationKeys, meter: DeliveryMeter, coalescer: WriteCoalescer) -> None:
        self._keys = keys
        self._meter = meter
        self._coalescer = coalescer
        self._scheduled = False

    def schedule(self) -> None:
        """Time the end of this loop tick, if the feed has delivered something."""
        if self._meter.due and not self._scheduled:
            self._scheduled = True
            self._coalescer.time(self)

    def written(self, now_ns: int) -> None:
        """Part of ``Timed``."""
        self._scheduled = False
        for turn in self._meter.written(now_ns):
            self._record(turn, "interrupted" if turn.interruption else "whole")

    def close(self) -> None:
        """Record the turn that has not ended: its other frames are not delivered here."""
        self.written(time_ns())
        turn = self._meter.close()
        if turn is not None:
            self._record(turn, "unfinished")

    def _record(self, turn: TurnDelivery, outcome: str) -> None:
        if turn.trace is None or not turn.first_write_ns or not traces.enabled():
            return
        written = [Event(semconv.FIRST_WRITE, turn.first_write_ns)]
        if turn.first_motion_ns:
            written.append(Event(semconv.FIRST_MOTION_WRITE, turn.first_motion_ns))
        written.append(Event(semconv.LAST_WRITE, turn.last_write_ns))
        traces.record(
            semconv.PROCESS_DOWN,
            kind=SpanKind.CONSUMER,
            parent=_context(turn.trace),
            start_ns=turn.first_write_ns,
            end_ns=turn.last_write_ns,
            attributes={
                **semconv.processes("down"),
                semconv.CONVERSATION: self._keys.id,
                semconv.TURN: turn.number,
                semconv.GENERATION: turn.first.generation,
                semconv.FRAMES: turn.frames,
                semconv.MESSAGING_BODY_SIZE: turn.size_bytes,
                semconv.VIEWERS: turn.viewers,
                semconv.OUTCOME: outcome,
            },
            events=written,
            links=[_context(link) for link in turn.links],
            error=turn.interruption,
        )


def _context(trace: tuple[bytes, bytes]) -> Context:
    return Context(trace[0].decode("ascii", "replace"), trace[1].decode("ascii", "replace"))
