"""The meter of a feed: measures the delivery to its live viewers, once for each batch; no clock.

The feed counts each batch. Batches are written when the loop's tick ends, and the caller passes the time of
that write: so latency includes the time in which the sockets of the batch were written.
"""

from collections.abc import Sequence
from typing import Final

from relay_gateway.fanout import traffic
from relay_gateway.fanout.batch import SharedFrame
from relay_gateway.fanout.turn_delivery import TurnDelivery, trace_id_of
from relay_telemetry.fast_histogram import FastHistogram
from relay_wire import events, frame
from relay_wire.position import Position

LATENCY = FastHistogram(
    "relay_gateway_latency_seconds",
    "From publishing a frame to the end of the loop tick that has written it to the sockets of all live "
    "viewers; once for each batch, of its oldest frame.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_LATENCY: Final = LATENCY.series


class DeliveryMeter:
    """What the live viewers of one feed have received, and the turn that is being delivered."""

    __slots__ = ("_broken", "_ended", "_oldest", "_turn")

    def __init__(self) -> None:
        self._turn: TurnDelivery | None = None
        self._ended: list[TurnDelivery] = []
        """Turns that have ended since the last write."""
        self._oldest: SharedFrame | None = None
        """The first frame delivered since the last write."""
        self._broken = False
        """Whether frames were missing since the last frame."""

    @property
    def due(self) -> bool:
        """Whether ``written`` is to be called."""
        return self._oldest is not None or bool(self._ended)

    def count(self, frames: Sequence[SharedFrame], viewers: int) -> None:
        """Count a batch that was read, and delivered to so many live viewers."""
        events, size_bytes = traffic.count(frames, viewers)
        if viewers and self._oldest is None:
            self._oldest = frames[0]
        turn = self._turn
        if events or turn is None:
            self._follow(frames, viewers)
            return
        turn.add(len(frames), size_bytes, viewers)
        if not turn.complete:
            for each in frames:
                turn.see(each, viewers)
        trace = frames[-1].trace
        if trace is not None and trace != turn.trace:
            self._relate(frames, [turn])

    def written(self, now_ns: int) -> Sequence[TurnDelivery]:
        """Measure what was delivered since the last call, and written at this wall time.

        Returns:
            The turns that have ended.
        """
        oldest, self._oldest = self._oldest, None
        if oldest is not None:
            age_ns = now_ns - frame.published_at_us_of(oldest.data) * 1000
            _LATENCY.observe(age_ns / 1e9 if age_ns > 0 else 0.0, trace_id_of(oldest.trace))
        turn = self._turn
        if turn is not None and turn.unwritten:
            turn.written(now_ns)
        if not self._ended:
            return ()
        ended, self._ended = self._ended, []
        for turn in ended:
            turn.written(now_ns)
            turn.end()
        return ended

    def log_fields(self) -> dict[str, object]:
        """The present turn, and the id of its trace, if they are known, for a line in the log."""
        turn = self._turn
        if turn is None:
            return {}
        trace_id = trace_id_of(turn.trace)
        return {"turn": turn.number, "trace_id": trace_id} if trace_id else {"turn": turn.number}

    def interrupt(self, reason: str) -> None:
        """Note that a viewer of the present turn will not receive all of it."""
        if self._turn is not None:
            self._turn.interrupt(reason)

    def miss(self, upto: Position) -> None:
        """Note that a viewer will not receive the frames up to this one."""
        if self._turn is not None and upto >= self._turn.first:
            self._turn.interrupt("gap")

    def restart(self) -> None:
        """Note that the stream did not continue: frames between the last batch and the next are missing."""
        self._broken = True
        self.interrupt("break")

    def close(self) -> TurnDelivery | None:
        """Measure nothing more; returns the turn that has not ended, if there is one."""
        turn, self._turn = self._turn, None
        return turn

    # --- turns ---------------------------------------------------------------------------------

    def _follow(self, frames: Sequence[SharedFrame], viewers: int) -> None:
        """Count frames, some of which may begin or end a turn."""
        present: list[TurnDelivery] = []
        for each in frames:
            event = events.of_frame(each.data)
            turn = self._turn_of(each, event)
            if turn is None:
                continue
            if turn not in present:
                present.append(turn)
            turn.add(1, len(each.data), viewers)
            turn.see(each, viewers)
            if isinstance(event, events.TurnEnded):
                self._ended.append(turn)
                self._turn = None
        self._relate(frames, present)

    def _turn_of(
        self, shared: SharedFrame, event: events.Event | events.Unknown | None
    ) -> TurnDelivery | None:
        """The turn of a frame, which it may begin; None when it is outside of turns, or after its turn."""
        number = frame.turn_of(shared.data)
        turn = self._turn
        if turn is not None and turn.number == number:
            return turn
        begun = isinstance(event, events.TurnStarted)
        if not begun and (event is not None or not number):
            return None
        if turn is not None:
            turn.interrupt("break")
            self._ended.append(turn)
        received_at_ms = event.received_at_ms if isinstance(event, events.TurnStarted) else 0
        self._turn = turn = TurnDelivery(number, shared.position, received_at_ms)
        if self._broken and not begun:
            turn.interrupt("break")
        self._broken = False
        return turn

    def _relate(self, frames: Sequence[SharedFrame], turns: list[TurnDelivery]) -> None:
        """Note the contexts of a batch at the turns that it has frames of."""
        traced = [each for each in frames if each.trace is not None]
        for turn in turns:
            for each in traced:
                if turn.trace is None and frame.turn_of(each.data) == turn.number:
                    turn.trace = each.trace
            for each in traced:
                turn.relate(each.trace)
