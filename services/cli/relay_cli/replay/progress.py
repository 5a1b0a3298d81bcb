"""Progress of a replay: when each frame is due, and what the record has after it. Pure."""

from relay_streams.retention import Retention
from relay_streams.scripts.call import Argument
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.frame import decode as decode_frame
from relay_wire.pcm import duration_ms
from relay_wire.position import START, Position


class Progress:
    """The state of a replay.

    Args:
        sample_rate: Of the speech.
        speed: How many times as fast as recorded.
        retention_bytes: Most bytes of frames that stay in the stream.
    """

    def __init__(self, sample_rate: int, speed: float, retention_bytes: int) -> None:
        self._sample_rate = sample_rate
        self._speed = speed
        self._limit_bytes = retention_bytes
        self._retention = Retention(0, retention_bytes)
        self._first_us: int | None = None
        self._due_s = 0.0
        self._last = START
        self._phase = "idle"
        self._audio_bytes = 0
        self._spoken_at_ms = 0
        self._ends_at_ms = 0

    def due_s(self, data: bytes) -> float:
        """When a frame is due, in seconds after the first; never before the frame before it."""
        published_us = decode_frame(data).published_at_us
        if self._first_us is None:
            self._first_us = published_us
        self._due_s = max(self._due_s, (published_us - self._first_us) / 1e6 / self._speed)
        return self._due_s

    def add(self, data: bytes, now_ms: int) -> None:
        """Note a frame that is appended at this wall time."""
        frame = decode_frame(data)
        if frame.generation != self._last.generation:
            kept = self._retention
            self._retention = Retention(
                frame.generation,
                self._limit_bytes,
                turn=kept.turn,
                turn_first=kept.turn_first,
                turn_before=kept.turn_before,
            )
        self._retention.append(frame.seq, frame.turn, len(data))
        self._last = frame.position
        if frame.kind is Kind.AUDIO:
            self._spoken_at_ms = self._spoken_at_ms or now_ms
            self._audio_bytes += len(frame.payload)
        elif frame.kind is Kind.EVENT:
            self._note(events.of_frame(data))

    def trim_to(self) -> Position | None:
        """The oldest frame to keep, if that has changed."""
        return self._retention.trim()

    def fields(self) -> dict[str, Argument]:
        """Fields of the record after the frames so far: by them a gateway starts its viewers."""
        return {
            "generation": self._last.generation,
            "tail": str(self._last),
            "turn": self._retention.turn,
            "turn_first": str(self._retention.turn_first),
            "turn_before": str(self._retention.turn_before),
            "turn_phase": self._phase,
            "turn_ends_at_ms": self._ends_at_ms,
        }

    def _note(self, event: events.Event | events.Unknown | None) -> None:
        match event:
            case events.TurnStarted():
                self._phase, self._audio_bytes, self._spoken_at_ms, self._ends_at_ms = "speaking", 0, 0, 0
            case events.TurnEnded():
                audio_ms = duration_ms(self._audio_bytes, self._sample_rate)
                self._phase, self._ends_at_ms = "playing", self._spoken_at_ms + audio_ms
            case events.Interrupted():
                self._phase, self._ends_at_ms = "idle", 0
