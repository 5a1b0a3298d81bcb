"""Frames: a payload behind its 32-byte header, as the stream stores it and the socket carries it.

Layout, big-endian (the same table with examples is in ``docs/reference/viewer-protocol.md``):

======  ====  ===============================================================
offset  type  field
======  ====  ===============================================================
0       u8    version = 1
1       u8    kind: 1 audio, 2 motion, 3 event, 4 microphone (client to server)
2       u8    flags: bit 0 END, the last of its kind in this turn; the others are 0
              when written and ignored when read
3       u8    codec of audio: 0 pcm_s16le, 1 ogg_opus
4       u32   turn (0 = outside any turn)
8       u64   generation
16      u32   seq (0 = made by the gateway, not in the stream)
20      u32   media_ms: audio of this turn published before this frame
24      u64   published_at, microseconds since the epoch
32            payload
======  ====  ===============================================================
"""

import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from functools import partial
from typing import NamedTuple

from relay_wire.position import Position

VERSION = 1
HEADER = struct.Struct(">BBBBIQIIQ")
HEADER_BYTES = HEADER.size
MAX_FRAME_BYTES = 768 * 1024
"""The largest frame, header included. The vendor's clients read messages up to 1 MiB (facts 4.5)."""
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - HEADER_BYTES
MAX_MOTION_BYTES = 786_000
"""The largest motion payload: it cannot be split, and in base64 and JSON must stay below 1 MiB, too."""

_POSITION = struct.Struct(">QI")
_POSITION_OFFSET = 8
_TURN = struct.Struct(">I")
_TURN_OFFSET = 4
_position: Callable[[tuple[int, int]], Position] = partial(tuple.__new__, Position)
"""``Position(...)`` runs a Python function; this builds the same tuple in C, in a third of the time."""


class Kind(IntEnum):
    """What a frame's payload is."""

    AUDIO = 1
    MOTION = 2
    EVENT = 3
    MICROPHONE = 4


class Flags(IntFlag):
    """Flags of a frame."""

    NONE = 0
    END = 1
    """Nothing of this kind follows in this turn."""


class Codec(IntEnum):
    """How audio payloads are encoded."""

    PCM_S16LE = 0
    OGG_OPUS = 1


class FrameError(ValueError):
    """Raised when bytes are not a frame, or a frame would be too large. Carries no payload bytes."""


class Frame(NamedTuple):
    """One decoded frame. The payload is a view into the bytes it was decoded from."""

    kind: Kind
    flags: Flags
    codec: Codec
    turn: int
    generation: int
    seq: int
    media_ms: int
    published_at_us: int
    payload: bytes | memoryview

    @property
    def position(self) -> Position:
        """The frame's place in its conversation; meaningless when ``seq`` is 0."""
        return Position(self.generation, self.seq)

    @property
    def is_end(self) -> bool:
        """Whether this is the last frame of its kind in its turn."""
        return bool(self.flags & Flags.END)


def encode(frame: Frame) -> bytes:
    """Encode a frame: the header before the payload, with one copy of the payload.

    Raises:
        FrameError: The frame would exceed ``MAX_FRAME_BYTES``, or a number does not fit its field.
    """
    if len(frame.payload) > MAX_PAYLOAD_BYTES:
        raise FrameError(f"payload of {len(frame.payload)} bytes exceeds {MAX_PAYLOAD_BYTES}")
    try:
        return HEADER.pack(VERSION, *frame[:8]) + frame.payload
    except struct.error as error:
        raise FrameError(f"header field out of range: {error}") from None


def decode(data: bytes | memoryview) -> Frame:
    """Decode one frame. The payload is a zero-copy view of ``data``.

    Raises:
        FrameError: Too short or too long, another version, or an unknown kind or codec.
    """
    if not HEADER_BYTES <= len(data) <= MAX_FRAME_BYTES:
        raise FrameError(f"{len(data)} bytes cannot be a frame: {HEADER_BYTES} to {MAX_FRAME_BYTES}")
    version, kind, flags, codec, turn, generation, seq, media_ms, published_at_us = HEADER.unpack_from(data)
    if version != VERSION:
        raise FrameError(f"frame version {version}, expected {VERSION}")
    try:
        head = Kind(kind), Flags(flags & Flags.END), Codec(codec)
    except ValueError as error:
        raise FrameError(str(error)) from None
    payload = memoryview(data)[HEADER_BYTES:]
    return Frame(*head, turn, generation, seq, media_ms, published_at_us, payload)


def position_of(data: bytes | memoryview) -> Position:
    """Read only the position of a frame known to be whole, as the fan-out does for every frame."""
    return _position(_POSITION.unpack_from(data, _POSITION_OFFSET))


def turn_of(data: bytes) -> int:
    """Read only the turn of a frame known to be whole."""
    turn: int = _TURN.unpack_from(data, _TURN_OFFSET)[0]
    return turn


def published_at_us_of(data: bytes) -> int:
    """Read only ``published_at`` of a frame known to be whole: compiled, this is a fraction of unpacking."""
    high = data[24] << 24 | data[25] << 16 | data[26] << 8 | data[27]
    return high << 32 | data[28] << 24 | data[29] << 16 | data[30] << 8 | data[31]
