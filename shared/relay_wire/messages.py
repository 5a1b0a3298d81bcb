"""Messages: what a viewer's client says to the gateway, as JSON text with a ``type`` field."""

from typing import Literal, NamedTuple

import msgspec

PlaybackState = Literal["started", "stalled", "finished"]


class MessageError(ValueError):
    """Raised when a text is not a message."""


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
    """Answered by the ``pong`` event with the same id."""

    id: str = ""


class Microphone(NamedTuple):
    """What the listener says: mono PCM16 at the conversation's rate. On the socket it is a binary frame."""

    pcm: bytes
    end: bool = False
    """The listener has stopped talking."""


class Sample(NamedTuple):
    """A clip the avatar is to speak, by name. Only the vendor's clients ask for it."""

    clip: str


class Utterance(NamedTuple):
    """The avatar's speech, from a client that brings its own: the binary host protocol's."""

    pcm: bytes
    end: bool


Message = Interrupt | Text | Playback | Ping
Said = Message | Microphone | Sample | Utterance
"""All a viewer can say, in whatever protocol."""

_DECODER = msgspec.json.Decoder(Message)
_ENCODER = msgspec.json.Encoder()


def encode(message: Message) -> str:
    """Write a message as the text the gateway expects."""
    return _ENCODER.encode(message).decode()


def decode(text: str) -> Message:
    """Read a message.

    Raises:
        MessageError: Not JSON, an unknown type, or a field missing or of the wrong type.
    """
    try:
        message: Message = _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise MessageError(f"not a message: {error}") from None
    return message
