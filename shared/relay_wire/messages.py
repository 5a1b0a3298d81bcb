"""Client messages: what a viewer's client sends to the gateway, as JSON text with a ``type`` field.

A message for the owner is decoded straight into its uplink entry; ``Ping`` is for the gateway itself. The
private classes read the messages whose JSON differs from the entry.
"""

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.events import PongId
from relay_wire.numbers import Number, nearest, whole
from relay_wire.uplink import ClipRequest, Interrupt, Microphone, Playback, PlaybackState, Text

MAX_PING_ID = 128
"""Longest id of a ping, in characters; the answer carries it."""


class MessageError(ValueError):
    """Raised when a text is not a message."""


class ReportError(MessageError):
    """Raised when a playback report is malformed. It can be ignored: only the report itself is lost."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Answered by the ``pong`` event with the same id, any JSON scalar."""

    id: PongId = ""


class Utterance(msgspec.Struct, frozen=True):
    """A viewer's own speech for the avatar; only the AvatarKit binary protocol has it."""

    pcm: bytes
    end: bool


JsonMessage = Interrupt | Text | Playback | Ping
ClientMessage = JsonMessage | Microphone | ClipRequest | Utterance
"""All messages of viewers, in any dialect. In the relay's own protocol ``Microphone`` is a binary frame."""


class _Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    """An interrupt of a client, which cannot set the entry's turn and reason."""


class _Playback(msgspec.Struct, frozen=True, tag="playback"):
    """A playback report of a client: numbers as any language writes them, and no connection."""

    turn: Number
    state: PlaybackState
    position_ms: Number | None = 0

    def entry(self) -> Playback:
        return Playback(whole(self.turn), self.state, nearest(self.position_ms or 0))


class _Head(msgspec.Struct, frozen=True):
    type: str


_Json = _Interrupt | Text | _Playback | Ping
_DECODER = msgspec.json.Decoder(_Json)
_HEAD_DECODER = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()


def encode(message: JsonMessage) -> str:
    """Encode a message as the gateway expects it."""
    return _ENCODER.encode(message).decode()


def decode(text: str) -> JsonMessage:
    """Decode a message. Whole numbers may be written as fractions; a position is rounded.

    Raises:
        ReportError: A playback report with a field that is missing or of the wrong type.
        MessageError: Not JSON, an unknown type, or a malformed message of another type.
    """
    try:
        message: _Json = _DECODER.decode(text)
        match message:
            case Ping(id):
                _check_id(id)
            case _Interrupt():
                return Interrupt()
            case _Playback():
                return message.entry()
    except UNREADABLE as error:
        refusal = ReportError if _is_report(text) else MessageError
        raise refusal(f"not a message: {reason(error)}") from None
    return message


def _is_report(text: str) -> bool:
    try:
        return _HEAD_DECODER.decode(text).type == _Playback.__struct_config__.tag
    except UNREADABLE:
        return False


def _check_id(ping_id: PongId) -> None:
    if isinstance(ping_id, str) and len(ping_id) > MAX_PING_ID:
        raise ValueError(f"id: {MAX_PING_ID} characters at most")
    if isinstance(ping_id, int) and not -(2**63) <= ping_id < 2**64:
        raise ValueError("id: 64 bits at most")
