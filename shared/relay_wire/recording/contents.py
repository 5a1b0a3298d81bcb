"""Contents: the JSON of a recording file, which are its header, its gaps and its index.

Fields unknown to a reader are ignored, so that the format can grow.
"""

from typing import TypeVar

import msgspec

from relay_wire.decoding import UNREADABLE
from relay_wire.recording.blocks import RecordingError


class Header(msgspec.Struct, frozen=True):
    """The conversation that was recorded."""

    conversation: str
    avatar_id: str
    sample_rate: int
    codec: int
    """As in the header of frames."""
    created_ms: int
    """When it was created, in milliseconds since the epoch."""
    agent: str = "push"
    talk_over: str = "never"


class Gap(msgspec.Struct, frozen=True):
    """Frames that are missing: they were no longer in the stream when it was copied."""

    after: str
    """The position of the last frame before them; ``0-0`` at the start."""
    to: str
    """The position of the last of them."""
    offset: int = 0
    """Where the gap's block begins in the file; only in the index."""
    at_ms: int = 0
    """The time of the frame before them; only in the index."""


class TurnEntry(msgspec.Struct):
    """One turn. Sizes are those of payloads that are recorded."""

    turn: int
    position: str
    """Of its first frame."""
    offset: int
    """Where the block of that frame begins in the file."""
    at_ms: int
    """The time of that frame: milliseconds after the recording's first."""
    frames: int = 0
    audio_bytes: int = 0
    motion_bytes: int = 0
    outcome: str = ""
    """How it ended; empty when that is not recorded."""


class TimeEntry(msgspec.Struct, frozen=True):
    """The first frame of an interval, to find a time in the file."""

    at_ms: int
    position: str
    offset: int


class Index(msgspec.Struct, frozen=True):
    """What the file has, by turn and by time."""

    frames: int
    frame_bytes: int
    audio_bytes: int
    motion_bytes: int
    duration_ms: int
    """From publishing the first frame to publishing the last."""
    last: str
    """The position of the last frame."""
    turns: list[TurnEntry]
    times: list[TimeEntry]
    gaps: list[Gap]


_ENCODER = msgspec.json.Encoder()
T = TypeVar("T", Header, Gap, Index)


def encode(content: Header | Gap | Index) -> bytes:
    """The body of a block."""
    return _ENCODER.encode(content)


def decode(body: bytes, kind: type[T]) -> T:
    """Read the body of a block.

    Raises:
        RecordingError: It is not one.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise RecordingError(
            f"the file is damaged: its {kind.__name__.lower()} cannot be read: {error}"
        ) from None
