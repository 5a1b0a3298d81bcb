"""The speaker's messages: JSON text on the audio socket of control, both ways.

Audio itself is binary: mono PCM16 little-endian at the conversation's rate, in any chunking.
"""

import msgspec


class SpeakerError(ValueError):
    """Raised when a text is not a speaker's message."""


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Options for the turn the next audio opens. Not needed when there are none."""

    barge_in: bool = False
    """Cancel what is spoken or waits, instead of waiting for it."""
    traceparent: str = ""


class End(msgspec.Struct, frozen=True, tag="end"):
    """The turn's audio is complete."""


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    """Cancel every turn so far, this one too."""


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """From control: a turn is open under this number."""

    turn: int


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """From control: so many bytes of the turn are in, and will be spoken exactly once."""

    turn: int
    offset: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From control: the turn's audio is complete with so many bytes."""

    turn: int
    offset: int


class Interrupted(msgspec.Struct, frozen=True, tag="interrupted"):
    """From control: the turn takes no more audio. What comes is thrown away until ``end`` or ``start``."""

    turn: int


class Error(msgspec.Struct, frozen=True, tag="error"):
    """From control: something was refused."""

    code: str
    message: str
    retryable: bool


FromSpeaker = Start | End | Interrupt
ToSpeaker = Turn | Ack | Ended | Interrupted | Error

_ENCODER = msgspec.json.Encoder()
_FROM_SPEAKER = msgspec.json.Decoder(FromSpeaker)
_TO_SPEAKER = msgspec.json.Decoder(ToSpeaker)


def encode(message: FromSpeaker | ToSpeaker) -> str:
    """Write a message."""
    return _ENCODER.encode(message).decode()


def decode(text: str) -> FromSpeaker:
    """Read a speaker's message.

    Raises:
        SpeakerError: Not JSON, an unknown type, or a field missing or of the wrong type.
    """
    try:
        message: FromSpeaker = _FROM_SPEAKER.decode(text)
    except msgspec.MsgspecError as error:
        raise SpeakerError(f"not a message: {error}") from None
    return message


def decode_answer(text: str) -> ToSpeaker:
    """Read one of control's answers. Raises as ``decode`` does."""
    try:
        answer: ToSpeaker = _TO_SPEAKER.decode(text)
    except msgspec.MsgspecError as error:
        raise SpeakerError(f"not an answer: {error}") from None
    return answer
