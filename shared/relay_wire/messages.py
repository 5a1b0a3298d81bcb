"""Messages: what a viewer's client says to the gateway, as JSON text with a ``type`` field."""

from typing import Literal, NamedTuple

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.events import PongId
from relay_wire.numbers import Number, nearest, whole

PlaybackState = Literal["started", "stalled", "finished"]

MAX_PING_ID = 128
"""Characters of a ping's id, which comes back in the answer."""


class MessageError(ValueError):
    """Raised when a text is not a message."""


class ReportError(MessageError):
    """Raised when a text is a playback report that cannot be understood: nothing is lost but itself."""


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    """The listener wants the avatar to stop: what is spoken or waits to be spoken is cancelled."""


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Something the listener typed."""

    text: str


class Playback(msgspec.Struct, frozen=True, tag="playback"):
    """How far the client's playback of a turn is; it decides when the next turn may begin."""

    turn: int
    state: PlaybackState
    position_ms: int = 0


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Answered by the ``pong`` event with the same id, whatever scalar that is."""

    id: PongId = ""


class Microphone(NamedTuple):
    """What the listener says: mono PCM16 at the conversation's rate. On the socket it is a binary frame."""

    pcm: bytes
    end: bool = False
    """The listener has stopped talking."""


class ClipRequest(NamedTuple):
    """A clip the avatar is to speak, by name. Only the vendor's clients ask for it."""

    clip: str


class Utterance(NamedTuple):
    """The avatar's speech, from a client that brings its own: the binary host protocol's."""

    pcm: bytes
    end: bool


Message = Interrupt | Text | Playback | Ping
Said = Message | Microphone | ClipRequest | Utterance
"""All a viewer can say, in whatever protocol."""


class _Report(msgspec.Struct, frozen=True, tag="playback"):
    """A playback report as clients write it."""

    turn: Number
    state: PlaybackState
    position_ms: Number | None = 0

    def read(self) -> Playback:
        return Playback(whole(self.turn), self.state, nearest(self.position_ms or 0))


class _Head(msgspec.Struct, frozen=True):
    type: str


_DECODER = msgspec.json.Decoder(Interrupt | Text | _Report | Ping)
_HEAD_DECODER = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()


def encode(message: Message) -> str:
    """Write a message as the text the gateway expects."""
    return _ENCODER.encode(message).decode()


def decode(text: str) -> Message:
    """Read a message. Whole numbers may be written as fractions; a position is rounded.

    Raises:
        ReportError: A playback report with a field that is missing or of the wrong type.
        MessageError: Not JSON, an unknown type, or the same of another message.
    """
    try:
        message = _DECODER.decode(text)
        if isinstance(message, Ping):
            _check_id(message.id)
        return message.read() if isinstance(message, _Report) else message
    except UNREADABLE as error:
        refusal = ReportError if _is_report(text) else MessageError
        raise refusal(f"not a message: {reason(error)}") from None


def _is_report(text: str) -> bool:
    try:
        return _HEAD_DECODER.decode(text).type == Playback.__struct_config__.tag
    except UNREADABLE:
        return False


def _check_id(ping_id: PongId) -> None:
    if isinstance(ping_id, str) and len(ping_id) > MAX_PING_ID:
        raise ValueError(f"id: {MAX_PING_ID} characters at most")
    if isinstance(ping_id, int) and not -(2**63) <= ping_id < 2**64:
        raise ValueError("id: 64 bits at most")
