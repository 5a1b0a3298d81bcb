"""Events: the payload of a frame of kind EVENT, as UTF-8 JSON with a ``type`` field.

Fields unknown to a reader are ignored, and so are event types: both let the relay grow.
"""

from typing import Literal

import msgspec

from relay_wire.decoding import UNREADABLE
from relay_wire.frame import HEADER_BYTES, Kind
from relay_wire.position import START, Position

Outcome = Literal["complete", "interrupted", "audio_only", "failed"]
"""How a turn ended."""
PongId = str | int | float | bool | None
"""The id of a ping, which its answer repeats: any JSON scalar."""


class EventError(ValueError):
    """Raised when a payload is not an event."""


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag=_snake):
    """The base of all events: the tag is the class's name in snake case."""


class TurnStarted(_Event, frozen=True, omit_defaults=True):
    """The first frame of every turn."""

    received_at_ms: int = 0
    """The wall time at which the turn's first speech was stored and the turn before was over."""


class TurnEnded(_Event, frozen=True):
    """No audio and no motion of this turn follows, though it may still be playing.

    Only ``interrupted`` can come after it, when what still plays is to stop.
    """

    outcome: Outcome


class Interrupted(_Event, frozen=True):
    """Stop playing this turn now: call the controller's ``interrupt()``. Sent once per turn at most."""

    reason: str


class AudioOnly(_Event, frozen=True):
    """This turn continues without motion. The empty motion frame that follows is the switch itself."""

    reason: str


class OwnerChanged(_Event, frozen=True):
    """The first frame of every generation."""

    after: str
    """The position of the conversation's last frame before this one; ``0-0`` when it is the first.

    It connects the generations: a reader with another cursor has missed frames.
    """


class Transcript(_Event, frozen=True):
    """Text of speech."""

    role: str
    text: str


class Error(_Event, frozen=True):
    """A failure that the viewer's app may show or report."""

    code: str
    message: str
    retryable: bool


class ConversationEnded(_Event, frozen=True):
    """The last frame of a conversation."""

    reason: str


class Hello(_Event, frozen=True, omit_defaults=True):
    """From the gateway only: the first message on every socket."""

    position: str
    """The cursor this socket starts from: the next stream frame is the one after it."""
    turn: int
    """The turn the conversation is in now, 0 before the first."""
    sample_rate: int
    codec: str
    avatar_id: str
    app_id: str = ""
    region: str = ""


class Gap(_Event, frozen=True, rename={"from_": "from"}):
    """From the gateway only: the frames between these two positions are gone for this client.

    The next frame is the one after ``to``: the current turn's first, its ``turn_started``, or the first that
    is left of the turn, without a ``turn_started``.
    """

    from_: str
    to: str


class Reconnect(_Event, frozen=True):
    """From the gateway only: reconnect to another gateway after ``after_ms``, because this one is leaving.

    Frames continue to arrive until then. A client that stays is closed somewhat later.
    """

    after_ms: int
    reason: str


class TokenRenewed(_Event, frozen=True):
    """From the gateway only: a token with the same grant, with which to reconnect from now on.

    It is as secret as the first, and the repr does not show it.
    """

    token: str
    expires_at: int
    """Seconds since the epoch."""

    def __repr__(self) -> str:
        return f"TokenRenewed(expires_at={self.expires_at})"


class Pong(_Event, frozen=True, omit_defaults=True):
    """From the gateway only: the answer to a client's ``ping``, with its ``id``."""

    id: PongId = ""


class UnsupportedMessage(_Event, frozen=True):
    """From the gateway only, once per socket and kind: the viewer has sent a message that the agent of the
    conversation does not answer.
    """

    kind: str
    """The name of its entry in the uplink: ``text``, ``microphone`` or ``clip_request``."""


class Unknown(msgspec.Struct, frozen=True):
    """An event of a type that this version does not have. Readers skip it."""

    type: str


StreamEvent = (
    TurnStarted | TurnEnded | Interrupted | AudioOnly | OwnerChanged | Transcript | Error | ConversationEnded
)
GatewayEvent = Hello | Gap | Reconnect | TokenRenewed | Pong | UnsupportedMessage | Error
Event = StreamEvent | Hello | Gap | Reconnect | TokenRenewed | Pong | UnsupportedMessage

_EVENT = int(Kind.EVENT)
"""A plain int: it is compared for every frame, and ``Kind.EVENT`` costs four times as much."""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_TYPE_DECODER = msgspec.json.Decoder(Unknown)
_TYPES = frozenset(cls.__struct_config__.tag for cls in Event.__args__)


def encode(event: Event) -> bytes:
    """Encode an event as the payload of an EVENT frame."""
    return _ENCODER.encode(event)


def decode(payload: bytes | memoryview) -> Event | Unknown:
    """Decode the payload of an EVENT frame; a type that this version does not have becomes ``Unknown``.

    Raises:
        EventError: The payload is not JSON, has no type, or a known event lacks a field.
    """
    try:
        head = _TYPE_DECODER.decode(payload)
        return _DECODER.decode(payload) if head.type in _TYPES else head
    except UNREADABLE as error:
        raise EventError(f"not an event: {error}") from None


def of_frame(data: bytes | memoryview) -> Event | Unknown | None:
    """The event in a whole frame; None when its payload is no event, or cannot be read."""
    if data[1] != _EVENT:
        return None
    try:
        return decode(memoryview(data)[HEADER_BYTES:])
    except EventError:
        return None


def follows(cursor: Position, position: Position, event: Event | Unknown | None) -> bool:
    """Whether the frame at ``position`` is the very next one after ``cursor``.

    Args:
        cursor: The last frame seen.
        position: The frame at hand.
        event: The event in that frame, when it is the first of its generation; else None.
    """
    generation, seq = position
    if generation == cursor.generation:
        return seq == cursor.seq + 1
    return seq == 1 and isinstance(event, OwnerChanged) and event.after == str(cursor)


FIRST_OWNER = OwnerChanged(after=str(START))
"""The event of a conversation's first owner."""
