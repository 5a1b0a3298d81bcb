"""Rendering: the audio and motion of the one turn that renders a clip, read off its frames. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from relay_wire import events
from relay_wire.clips import ClipChunk, cut
from relay_wire.frame import Frame, FrameError, Kind, decode
from relay_wire.pcm import chunk_bytes, duration_ms
from relay_wire.position import START, Position

CHUNK_MS = 100
"""Audio of a chunk, as of a posted turn."""
LEAD_MS = 1000
"""By how much a chunk's motion precedes its audio."""
_AUDIO_SHARE = 0.1
"""The share of the progress at which all audio is published: motion takes the rest."""
_MOTION_BYTES_PER_S = 20_000
"""A second of motion, for the progress alone, which is an estimate."""
MOST = 0.95
"""The greatest progress before the clip is stored."""


class RenderFailed(Exception):
    """Raised when an attempt has no clip to store.

    Args:
        reason: In a word.
        retryable: Whether another attempt may succeed.
    """

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


class Rendered(NamedTuple):
    """What the turn of a clip published."""

    pcm: bytes
    motion: tuple[bytes, ...]

    def chunks(self, sample_rate: int) -> list[ClipChunk]:
        """The chunks of the clip."""
        lead_bytes = chunk_bytes(LEAD_MS, sample_rate)
        return cut(
            self.pcm, self.motion, chunk_bytes=chunk_bytes(CHUNK_MS, sample_rate), lead_bytes=lead_bytes
        )


class Rendering:
    """The rendering of one clip: frames in, progress and the clip out.

    Args:
        pcm: The audio that is spoken.
        sample_rate: Of the audio.
    """

    def __init__(self, pcm: bytes, sample_rate: int) -> None:
        self._pcm = pcm
        self._motion_estimate = duration_ms(len(pcm), sample_rate) * _MOTION_BYTES_PER_S / 1000
        self._audio: list[bytes] = []
        self._audio_bytes = self._motion_bytes = 0
        self._motion: list[bytes] = []
        self._why = ""
        self.cursor = START
        """The last frame that was read."""
        self.rendered: Rendered | None = None
        """The clip, once its turn has ended."""

    @property
    def progress(self) -> float:
        """How far the rendering is, from 0 to 1: an estimate."""
        audio = self._audio_bytes / (len(self._pcm) or 1)
        motion = self._motion_bytes / (self._motion_estimate or 1)
        return round(min(_AUDIO_SHARE * audio + (MOST - _AUDIO_SHARE) * motion, MOST), 3)

    def read(self, frames: Sequence[bytes]) -> None:
        """Read further frames of the conversation, in order.

        Raises:
            RenderFailed: The turn has no motion or other audio, frames are missing, or all has ended.
        """
        for data in frames:
            try:
                self._read(decode(data))
            except (FrameError, events.EventError):
                raise RenderFailed("unreadable_frame") from None

    def _read(self, frame: Frame) -> None:
        event = events.decode(frame.payload) if frame.kind is Kind.EVENT else None
        if not events.follows(self.cursor, frame.position, event):
            raise RenderFailed("frames_missing")
        self.cursor = Position(frame.generation, frame.seq)
        if frame.kind is Kind.AUDIO:
            self._audio.append(bytes(frame.payload))
            self._audio_bytes += len(frame.payload)
        elif frame.kind is Kind.MOTION and frame.payload:
            self._motion.append(bytes(frame.payload))
            self._motion_bytes += len(frame.payload)
        elif event is not None:
            self._on_event(event)

    def _on_event(self, event: events.Event | events.Unknown) -> None:
        match event:
            case events.Error(code):
                self._why = code
            case events.AudioOnly(reason):
                self._why = self._why or reason
            case events.TurnEnded(outcome):
                self._on_end(outcome)
            case events.ConversationEnded(reason) if self.rendered is None:
                raise RenderFailed(self._why or reason)

    def _on_end(self, outcome: events.Outcome) -> None:
        pcm = b"".join(self._audio)
        if outcome != "complete":
            raise RenderFailed(self._why or outcome)
        if pcm != self._pcm or not self._motion:
            raise RenderFailed("no_motion" if not self._motion else "audio_missing")
        self.rendered = Rendered(pcm, tuple(self._motion))
