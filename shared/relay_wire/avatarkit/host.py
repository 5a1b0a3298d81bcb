"""Host: the binary protocol of the vendor's host server, as its code has it (facts 5.1).

A client sends ``start`` as text, uploads the speech of one turn and plays it itself; it receives the
motion. A binary message is a type byte, a flags byte (bit 0: the last of its type) and a payload.
"""

import struct
from enum import IntEnum
from typing import Literal, NamedTuple

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.messages import MessageError
from relay_wire.numbers import Number, whole
from relay_wire.pcm import SAMPLE_RATES
from relay_wire.text import Name

HEAD_BYTES = 2
LAST = 0x01
_FRAMES = struct.Struct(">BBII")


class Type(IntEnum):
    """The first byte of a binary message."""

    AUDIO = 1
    ANIMATION = 2
    METADATA = 3
    ERROR = 4


class Start(NamedTuple):
    """The first message of a client."""

    avatar_id: str = ""
    """Empty when the server selects the avatar."""
    sample_rate: int = 0
    """The rate of its audio, in Hz; 0: the server's."""


class Audio(NamedTuple):
    """Speech: mono PCM16, cut at any byte."""

    pcm: bytes
    last: bool


class _Start(msgspec.Struct, frozen=True):
    """The JSON of a start."""

    action: Literal["start"]
    avatar_id: Name | None = None
    sample_rate: Number | None = None


class _Metadata(msgspec.Struct, frozen=True):
    sample_rate: int
    channels: int
    avatar_id: str
    connection_id: str


class _Error(msgspec.Struct, frozen=True):
    error: str


_DECODER = msgspec.json.Decoder(_Start)
_encode = msgspec.json.Encoder().encode


def decode_start(text: str) -> Start:
    """Decode the first message; raises ``MessageError`` when it is not a start."""
    try:
        start = _DECODER.decode(text)
    except UNREADABLE as error:
        raise MessageError(f"not a start: {reason(error)}") from None
    if start.sample_rate not in (None, *SAMPLE_RATES):
        raise MessageError(f"sample_rate: one of {SAMPLE_RATES}")
    return Start(start.avatar_id or "", whole(start.sample_rate or 0))


def decode_audio(message: bytes) -> Audio | None:
    """Decode a later message; None for one of another type, which the vendor's server ignores."""
    if len(message) < HEAD_BYTES or message[0] != Type.AUDIO:
        return None
    return Audio(message[HEAD_BYTES:], bool(message[1] & LAST))


def metadata(*, sample_rate: int, avatar_id: str, connection_id: str) -> bytes:
    """The first message to a client."""
    return _message(Type.METADATA, _encode(_Metadata(sample_rate, 1, avatar_id, connection_id)))


def animation(payload: bytes | memoryview, *, last: bool) -> bytes:
    """A message with a list of one motion payload."""
    return _FRAMES.pack(Type.ANIMATION, last, 1, len(payload)) + payload


def end() -> bytes:
    """The end of the motion, for a turn without a last motion payload."""
    return bytes((Type.ANIMATION, LAST)) + bytes(4)


def error(text: str) -> bytes:
    """An error message, as text for people."""
    return _message(Type.ERROR, _encode(_Error(text)))


def _message(kind: Type, payload: bytes) -> bytes:
    return bytes((kind, 0)) + payload
