"""Traffic: the frames and bytes that a gateway reads from streams and writes to live viewers, by kind."""

from collections.abc import Sequence
from typing import Final

from relay_gateway.fanout.batch import SharedFrame
from relay_telemetry.fast_counter import FastCounters
from relay_wire.frame import Kind

_KINDS = [kind.name.lower() for kind in Kind]

FRAMES = FastCounters("relay_gateway_frames_total", "Frames read from streams.", "kind", _KINDS)
FRAME_BYTES = FastCounters(
    "relay_gateway_frame_bytes_total", "Bytes of frames read from streams.", "kind", _KINDS
)
DELIVERIES = FastCounters("relay_gateway_deliveries_total", "Frames written to live viewers.", "kind", _KINDS)
DELIVERED_BYTES = FastCounters(
    "relay_gateway_delivered_bytes_total",
    "Bytes of frames written to live viewers, before their protocols encode them.",
    "kind",
    _KINDS,
)

_AUDIO: Final = int(Kind.AUDIO)
"""A plain int, which compares faster."""
_MOTION: Final = int(Kind.MOTION)


class _Counters:
    """The numbers of one kind."""

    __slots__ = ("delivered", "delivered_bytes", "read", "read_bytes")

    def __init__(self, kind: Kind) -> None:
        name = kind.name.lower()
        self.read, self.read_bytes = FRAMES[name], FRAME_BYTES[name]
        self.delivered, self.delivered_bytes = DELIVERIES[name], DELIVERED_BYTES[name]

    def add(self, frames: int, size_bytes: int, viewers: int) -> None:
        self.read.value += frames
        self.read_bytes.value += size_bytes
        if viewers:
            self.delivered.value += frames * viewers
            self.delivered_bytes.value += size_bytes * viewers


_OF_AUDIO: Final = _Counters(Kind.AUDIO)
_OF_MOTION: Final = _Counters(Kind.MOTION)
_OF_EVENTS: Final = _Counters(Kind.EVENT)


def count(frames: Sequence[SharedFrame], viewers: int) -> tuple[int, int]:
    """Count a batch in one pass, however many live viewers it is delivered to.

    Returns:
        How many of the frames are events, and the bytes of all.
    """
    audio = motion = events = audio_bytes = motion_bytes = event_bytes = 0
    for frame in frames:
        data = frame.data
        kind = data[1]
        if kind == _AUDIO:
            audio += 1
            audio_bytes += len(data)
        elif kind == _MOTION:
            motion += 1
            motion_bytes += len(data)
        else:  # Streams have no microphone frames.
            events += 1
            event_bytes += len(data)
    if audio:
        _OF_AUDIO.add(audio, audio_bytes, viewers)
    if motion:
        _OF_MOTION.add(motion, motion_bytes, viewers)
    if events:
        _OF_EVENTS.add(events, event_bytes, viewers)
    return events, audio_bytes + motion_bytes + event_bytes
