"""Recorded conversations: frames as owners publish them, and the files made of them."""

from relay_wire import events
from relay_wire.frame import Codec, Flags, Frame, Kind, encode
from relay_wire.position import START, Position
from relay_wire.recording.contents import Header
from relay_wire.recording.encoder import RecordingEncoder

HEADER = Header("01JREC0RD1NG0000000000000A", "avatar", 16000, 0, 1_700_000_000_000)
_FRAME_US = 100_000


def frame(position: Position, turn: int, kind: Kind, payload: bytes, *, at_us: int) -> bytes:
    """One frame."""
    return encode(Frame(kind, Flags.NONE, Codec.PCM_S16LE, turn, *position, 0, at_us, payload))


def conversation(*generations: int, audio_bytes: int = 3200, audio_frames: int = 3) -> list[bytes]:
    """The frames of a conversation with one turn in each of these generations."""
    frames: list[bytes] = []
    last, at_us = START, 1_700_000_000_000_000
    for turn, generation in enumerate(generations, start=1):
        payloads: list[tuple[int, Kind, bytes]] = [
            (0, Kind.EVENT, events.encode(events.OwnerChanged(str(last)))),
            (turn, Kind.EVENT, events.encode(events.TurnStarted())),
        ]
        for number in range(audio_frames):
            payloads.append((turn, Kind.AUDIO, bytes([number + turn]) * audio_bytes))
            payloads.append((turn, Kind.MOTION, b"motion %d" % number))
        payloads.append((turn, Kind.EVENT, events.encode(events.TurnEnded("complete"))))
        for seq, (of_turn, kind, payload) in enumerate(payloads, start=1):
            last = Position(generation, seq)
            frames.append(frame(last, of_turn, kind, payload, at_us=at_us))
            at_us += _FRAME_US
    return frames


def recording(frames: list[bytes], header: Header = HEADER, last: Position = START) -> bytes:
    """The file of these frames."""
    encoder = RecordingEncoder(header)
    return encoder.begin() + b"".join(map(encoder.add, frames)) + encoder.finish(last)
