"""The speaker's messages: JSON text on the audio socket of control, both ways.

Audio itself is binary: mono PCM16 little-endian at the conversation's rate, in any chunking.
"""

from typing import Annotated

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.numbers import Number, whole

Key = Annotated[str, msgspec.Meta(pattern=r"^(?!agent:)[!-~]{1,128}\Z")]
"""Names an opening, so that repeating it opens no second turn: 1 to 128 visible ASCII characters, which
begin otherwise than the agents' own, ``agent:``."""


class AudioSocketError(ValueError):
    """Raised when a text is not a speaker's message."""


class Start(msgspec.Struct, frozen=True, omit_defaults=True, tag="start"):
    """Options for the turn the next audio opens, or the turn it goes on with. Not needed without any.

    With ``turn`` or ``key`` it is answered: ``Ack`` says where to go on (at 0 of turn 0 when the key is
    new), ``Ended`` and ``Interrupted`` that there is nothing to go on with.
    """

    barge_in: bool = False
    """Cancel what is spoken or waits, instead of waiting for it."""
    traceparent: str = ""
    """W3C trace context; left out where it is none."""
    turn: Number = 0
    """Go on with this turn, one of the last eight."""
    key: Key | None = None
    """Go on with the turn that was opened with it, or open one with it."""
    sample_rate: Number | None = None
    """What the audio has; refused when the conversation has another."""
    channels: Number | None = None
    """As ``sample_rate``: refused when it is not 1."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "turn", whole(self.turn))


class End(msgspec.Struct, frozen=True, tag="end"):
    """The turn's audio is complete."""


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """The turn goes on, though there is no audio now. An empty binary message means the same.

    Answered by ``Ack``; without a turn that is open it means nothing.
    """


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    """Cancel every turn so far, this one too."""


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """From control: a turn is open under this number."""

    turn: int


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """From control: so many bytes of the turn are in, exactly once. Keep what comes after them."""

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


FromSpeaker = Start | End | Hold | Interrupt
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
    except UNREADABLE as error:
        raise AudioSocketError(f"not a message: {reason(error)}") from None
    return message


def decode_answer(text: str) -> ToSpeaker:
    """Read one of control's answers. Raises as ``decode`` does."""
    try:
        answer: ToSpeaker = _TO_SPEAKER.decode(text)
    except UNREADABLE as error:
        raise AudioSocketError(f"not an answer: {reason(error)}") from None
    return answer
