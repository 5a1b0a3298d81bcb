"""Messages of the vendor's clients, as JSON text with a ``type`` field.

Names are the clients' own. Unknown fields and types are ignored, since other versions of the clients have
others. An optional field may be null.
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
    """The avatar that the client shows; empty when the server selects it."""

    avatar_id: Name | None = ""


class StartAgent(_Message, frozen=True):
    """The client opens its microphone."""

    language: str | None = ""


class MicAudio(_Message, frozen=True):
    """Microphone audio: mono PCM16 at the rate of ``/api/config``."""

    audio: bytes | None = b""


class MicEnd(_Message, frozen=True):
    """The listener has stopped talking."""


class Text(_Message, frozen=True):
    """Text that the listener typed."""

    text: str


class TextQuery(_Message, frozen=True):
    """The former name of ``text``."""

    text: str


class Interrupt(_Message, frozen=True):
    """Interrupt the avatar; the client has stopped playing already."""


class Ping(_Message, frozen=True):
    """Answered by ``pong``."""


class PlaySample(_Message, frozen=True):
    """Play a clip of the server."""

    clip: Name


class Unknown(msgspec.Struct, frozen=True):
    """A message of a type that no known version has. Readers skip it."""

    type: str


Message = SetAvatar | StartAgent | MicAudio | MicEnd | Text | TextQuery | Interrupt | Ping | PlaySample

_TYPES = frozenset(cls.__struct_config__.tag for cls in Message.__args__)
_DECODER = msgspec.json.Decoder(Message)
_TYPE_DECODER = msgspec.json.Decoder(Unknown)


def decode(text: str) -> Message | Unknown:
    """Decode a message; one of an unknown type becomes ``Unknown``.

    Raises:
        MessageError: Not JSON, no type, or a field of a known type is missing or wrong.
    """
    try:
        head = _TYPE_DECODER.decode(text)
        return _DECODER.decode(text) if head.type in _TYPES else head
    except UNREADABLE as error:
        raise MessageError(f"not a message: {reason(error)}") from None
