"""Turn deliveries: what a feed's live viewers have received of one turn, and when; no clock."""

from typing import Final

from relay_gateway.fanout.batch import SharedFrame, Trace
from relay_telemetry.distribution import Distribution
from relay_telemetry.fast_counter import FastCounters
from relay_telemetry.fast_histogram import FastHistogram
from relay_wire.frame import HEADER_BYTES, Kind
from relay_wire.position import Position

TURNS = FastCounters(
    "relay_gateway_turns_total",
    "Turns delivered to the live viewers of a conversation; interrupted: by a gap, a break in the stream or "
    "the close of a viewer that could not be served.",
    "result",
    ("whole", "interrupted"),
)
_END_TO_END_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
FIRST_AUDIO = FastHistogram(
    "relay_gateway_first_audio_seconds",
    "From storing a turn's first speech, or the end of the turn before if that is later, to the write of its "
    "first audio to live viewers.",
    buckets=_END_TO_END_BUCKETS,
)
FIRST_MOTION = FastHistogram(
    "relay_gateway_first_motion_seconds",
    "From storing a turn's first speech, or the end of the turn before if that is later, to the write of its "
    "first motion to live viewers.",
    buckets=_END_TO_END_BUCKETS,
)

_AUDIO: Final = int(Kind.AUDIO)
_MOTION: Final = int(Kind.MOTION)


def trace_id_of(trace: Trace | None) -> str:
    """The trace id in a context of a frame; empty when there is none."""
    return trace[0][3:35].decode("ascii", "replace") if trace is not None else ""


class TurnDelivery:
    """One turn on one feed.

    Args:
        number: Of the turn.
        first: The position of its first frame here.
        received_at_ms: The wall time at which its first speech was stored and the turn before was over; 0:
            unknown.
    """

    __slots__ = (
        "_audio_due", "_has_audio", "_has_motion", "_motion_due", "first", "first_motion_ns",
        "first_write_ns", "frames", "interruption", "last_write_ns", "links", "number", "received_at_ms",
        "size_bytes", "trace", "unwritten", "viewers",
    )  # fmt: skip

    def __init__(self, number: int, first: Position, received_at_ms: int) -> None:
        self.number = number
        self.first = first
        self.received_at_ms = received_at_ms
        self.frames = 0
        """Frames delivered to live viewers, each counted once."""
        self.size_bytes = 0
        """Their bytes."""
        self.viewers = 0
        """The most live viewers that received a batch of it."""
        self.interruption = ""
        """Why its delivery was interrupted; empty: it was not."""
        self.trace: Trace | None = None
        """The context of its frames; None: they have none."""
        self.links: dict[Trace, None] = {}
        """Other contexts of frames that came with its frames."""
        self.unwritten = False
        """Whether frames are delivered whose write is not timed yet."""
        self.first_write_ns = 0
        """Wall time, as the others; 0: nothing was written."""
        self.first_motion_ns = 0
        self.last_write_ns = 0
        self._has_audio = False
        self._has_motion = False
        self._audio_due = False
        """Whether the next write has the first audio."""
        self._motion_due = False

    def add(self, frames: int, size_bytes: int, viewers: int) -> None:
        """Count frames that were delivered to so many live viewers."""
        if viewers:
            self.frames += frames
            self.size_bytes += size_bytes
            self.unwritten = True
            if viewers > self.viewers:  # noqa: PLR1730  # compiled, `max` is a call
                self.viewers = viewers

    @property
    def complete(self) -> bool:
        """Whether first audio and first motion have come, so that ``see`` has no further effect."""
        return self._has_audio and self._has_motion

    def see(self, frame: SharedFrame, viewers: int) -> None:
        """Note the first audio and the first motion of the turn."""
        data = frame.data
        if len(data) == HEADER_BYTES:
            return  # The end of its kind, or the switch to audio only.
        kind = data[1]
        if kind == _AUDIO and not self._has_audio:
            self._has_audio = True
            self._audio_due = viewers > 0
        elif kind == _MOTION and not self._has_motion:
            self._has_motion = True
            self._motion_due = viewers > 0

    def relate(self, trace: Trace | None) -> None:
        """Note the context of a frame that came with frames of this turn."""
        if trace is not None and trace != self.trace:
            self.links[trace] = None

    def interrupt(self, reason: str) -> None:
        """Note that a viewer has not received the whole turn. The first reason stays."""
        self.interruption = self.interruption or reason

    def written(self, now_ns: int) -> None:
        """Note that all delivered frames were written at this wall time."""
        if not self.unwritten:
            return
        self.unwritten = False
        self.last_write_ns = now_ns
        if not self.first_write_ns:
            self.first_write_ns = now_ns
        if self._audio_due:
            self._audio_due = False
            self._observe(FIRST_AUDIO.series, now_ns)
        if self._motion_due:
            self._motion_due = False
            self.first_motion_ns = now_ns
            self._observe(FIRST_MOTION.series, now_ns)

    def end(self) -> None:
        """Count the turn, which was delivered to its end, if a live viewer has received a part of it."""
        if self.frames:
            TURNS["interrupted" if self.interruption else "whole"].value += 1

    def _observe(self, histogram: Distribution, now_ns: int) -> None:
        if self.received_at_ms:
            waited_s = max(0.0, now_ns / 1e9 - self.received_at_ms / 1e3)
            histogram.observe(waited_s, trace_id_of(self.trace))
