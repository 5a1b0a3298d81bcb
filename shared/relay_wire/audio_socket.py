"""Messages of the audio socket: JSON text between a backend that streams speech and control, both ways.

Audio is in binary messages: mono PCM16 little-endian at the conversation's rate, in pieces of any size.
"""

from typing import Annotated

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.numbers import Number, whole

Key = Annotated[str, msgspec.Meta(pattern=r"^(?!agent:)[!-~]{1,128}\Z")]
"""An idempotency key: a repeated start with it opens no second turn. 1 to 128 visible ASCII characters,
without the prefix of agents' keys, ``agent:``."""


class AudioSocketError(ValueError):
    """Raised when a text is not a message of the audio socket."""


class Start(msgspec.Struct, frozen=True, omit_defaults=True, tag="start"):
    """Options for the turn that the next audio opens or continues. Without it a turn has the defaults.

    With ``turn`` or ``key`` it is answered: by ``Ack`` with the offset to continue at (0 of turn 0 when the
    key is new), or by ``Ended`` or ``Interrupted`` when the turn accepts no more audio.
    """

    barge_in: bool = False
    """Cancel the turns that play or wait, instead of queueing behind them."""
    traceparent: str = ""
    """W3C trace context; ignored when it is malformed."""
    tracestate: str = ""
    """What goes along with it; likewise."""
    turn: Number = 0
    """Continue this turn, one of the last eight."""
    key: Key | None = None
    """Continue the turn that was opened with this key, or open one with it."""
    sample_rate: Number | None = None
    """The rate of the audio; refused when it is not the conversation's."""
    channels: Number | None = None
    """As ``sample_rate``: refused when it is not 1."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "turn", whole(self.turn))


class End(msgspec.Struct, frozen=True, tag="end"):
    """The turn's audio is complete."""


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Keep the turn open while there is no audio. An empty binary message means the same.

    Answered by ``Ack``; without an open turn it has no effect.
    """


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    """Cancel every turn so far, the open one included."""


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """From control: a turn is open under this number."""

    turn: int


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """From control: the turn's bytes before ``offset`` are in the uplink, each once. Keep the others."""

    turn: int
    offset: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From control: the turn's audio is complete; ``offset`` is its size in bytes."""

    turn: int
    offset: int


class Interrupted(msgspec.Struct, frozen=True, tag="interrupted"):
    """From control: the turn accepts no more audio. Audio is discarded until ``end`` or ``start``."""

    turn: int


class Error(msgspec.Struct, frozen=True, tag="error"):
    """From control: a message, or its audio, was refused."""

    code: str
    message: str
    retryable: bool


FromSpeaker = Start | End | Hold | Interrupt
ToSpeaker = Turn | Ack | Ended | Interrupted | Error

_ENCODER = msgspec.json.Encoder()
_FROM_SPEAKER = msgspec.json.Decoder(FromSpeaker)
_TO_SPEAKER = msgspec.json.Decoder(ToSpeaker)


def encode(message: FromSpeaker | ToSpeaker) -> str:
    """Encode a message of either side."""
    return _ENCODER.encode(message).decode()


def decode(text: str) -> FromSpeaker:
    """Decode a message of a speaker.

    Raises:
        AudioSocketError: Not JSON, an unknown type, or a field is missing or of the wrong type.
    """
    try:
        message: FromSpeaker = _FROM_SPEAKER.decode(text)
    except UNREADABLE as error:
        raise AudioSocketError(f"not a message: {reason(error)}") from None
    return message


def decode_answer(text: str) -> ToSpeaker:
    """Decode a message of control. Raises as ``decode`` does."""
    try:
        answer: ToSpeaker = _TO_SPEAKER.decode(text)
    except UNREADABLE as error:
        raise AudioSocketError(f"not an answer: {reason(error)}") from None
    return answer
