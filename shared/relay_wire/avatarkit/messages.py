"""Messages: what the vendor's clients say, as JSON text with a ``type`` field.

The clients' own names; fields unknown to us are ignored, and so are types: other versions have others.
What may be missing may be null.
"""

import msgspec

from relay_wire.decoding import UNREADABLE, reason
from relay_wire.messages import MessageError
from relay_wire.text import Name


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=_snake, rename="camel"):
    """The base of all messages: the tag is the class's name in snake case."""


class SetAvatar(_Message, frozen=True):
    """Which avatar the client shows; empty when it leaves that to the server."""

    avatar_id: Name | None = ""


class StartAgent(_Message, frozen=True):
    """The client wants to be listened to."""

    language: str | None = ""


class MicAudio(_Message, frozen=True):
    """Microphone audio: mono PCM16 at the rate of ``/api/config``."""

    audio: bytes | None = b""


class MicEnd(_Message, frozen=True):
    """The listener has stopped talking."""


class Text(_Message, frozen=True):
    """Something the listener typed."""

    text: str


class TextQuery(_Message, frozen=True):
    """What ``text`` was called before."""

    text: str


class Interrupt(_Message, frozen=True):
    """The listener wants the avatar to stop; the client has stopped already."""


class Ping(_Message, frozen=True):
    """Answered by ``pong``."""


class PlaySample(_Message, frozen=True):
    """Speak a clip that the server has."""

    clip: Name


class Unknown(msgspec.Struct, frozen=True):
    """A message of a type no version we know has. Readers skip it."""

    type: str


Message = SetAvatar | StartAgent | MicAudio | MicEnd | Text | TextQuery | Interrupt | Ping | PlaySample

_TYPES = frozenset(cls.__struct_config__.tag for cls in Message.__args__)
_DECODER = msgspec.json.Decoder(Message)
_TYPE_DECODER = msgspec.json.Decoder(Unknown)


def decode(text: str) -> Message | Unknown:
    """Read a message; a type we do not know comes back as Unknown.

    Raises:
        MessageError: Not JSON, no type, or a field of a known type is missing or wrong.
    """
    try:
        head = _TYPE_DECODER.decode(text)
        return _DECODER.decode(text) if head.type in _TYPES else head
    except UNREADABLE as error:
        raise MessageError(f"not a message: {reason(error)}") from None
