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
"""What a client may call a ping, and finds in the answer: any JSON scalar."""


class EventError(ValueError):
    """Raised when a payload is not an event."""


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag=_snake):
    """The base of all events: the tag is the class's name in snake case."""


class TurnStarted(_Event, frozen=True):
    """The first frame of every turn."""


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

    It closes the chain across generations: a reader that stands elsewhere has missed frames.
    """


class Transcript(_Event, frozen=True):
    """Text of speech."""

    role: str
    text: str


class Error(_Event, frozen=True):
    """Something failed that the viewer's app may want to show or report."""

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

    What follows comes after ``to``: the current turn from its start, which is its ``turn_started``, or
    what is left of it, and then no ``turn_started`` comes first.
    """

    from_: str
    to: str


class Reconnect(_Event, frozen=True):
    """From the gateway only: please reconnect elsewhere, after this long, because this gateway is leaving.

    Frames continue to arrive until then. A client that stays is closed somewhat later.
    """

    after_ms: int
    reason: str


class TokenRenewed(_Event, frozen=True):
    """From the gateway only: a token to reconnect with from now on, in place of the one this socket has.

    It allows the same. It is as secret as the first, and its repr does not show it.
    """

    token: str
    expires_at: int
    """Seconds since the epoch."""

    def __repr__(self) -> str:
        return f"TokenRenewed(expires_at={self.expires_at})"


class Pong(_Event, frozen=True, omit_defaults=True):
    """From the gateway only: the answer to a client's ``ping``, with its ``id``."""

    id: PongId = ""


class Unknown(msgspec.Struct, frozen=True):
    """An event of a type this version does not know. Readers skip it."""

    type: str


StreamEvent = (
    TurnStarted | TurnEnded | Interrupted | AudioOnly | OwnerChanged | Transcript | Error | ConversationEnded
)
GatewayEvent = Hello | Gap | Reconnect | TokenRenewed | Pong | Error
Event = StreamEvent | Hello | Gap | Reconnect | TokenRenewed | Pong

_EVENT = int(Kind.EVENT)
"""Asked of every frame, and a member of an enumeration takes four times as long to find."""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_TYPE_DECODER = msgspec.json.Decoder(Unknown)
_TYPES = frozenset(cls.__struct_config__.tag for cls in Event.__args__)


def encode(event: Event) -> bytes:
    """Write an event as the payload of an EVENT frame."""
    return _ENCODER.encode(event)


def decode(payload: bytes | memoryview) -> Event | Unknown:
    """Read the payload of an EVENT frame; a type this version does not know comes back as Unknown.

    Raises:
        EventError: The payload is not JSON, has no type, or a known event lacks a field.
    """
    try:
        head = _TYPE_DECODER.decode(payload)
        return _DECODER.decode(payload) if head.type in _TYPES else head
    except UNREADABLE as error:
        raise EventError(f"not an event: {error}") from None


def of_frame(data: bytes | memoryview) -> Event | Unknown | None:
    """The event a whole frame carries; None when it carries something else, or cannot be read."""
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
