"""Uplink entries: the one definition of the entries of the ``up`` stream, which a conversation's owner reads.

Entries are flat stream fields, which redis-cli can show. ``encode`` of an entry returns them, ``decode``
reads them. Speech is encoded by a script, which has the turn and the offset; its ``encode`` here specifies
the fields that the script writes.

===========  ==================================================================
field        meaning
===========  ==================================================================
k            kind: speech, interrupt, playback, text, mic, sample, close
c            ``bytes viewer-bytes viewer-entries`` appended before this entry since
             the conversation began; written by the scripts, which bound the stream
             by it, and not read here
t            turn; interrupt: the last turn it cancels, written by the script
o            speech: byte offset of this chunk in its turn
d            speech, mic: PCM, empty where a silent turn is held open;
             text, sample: UTF-8
e            speech: "1" on the last chunk of the turn;
             mic: "1" when the listener has stopped talking
hz           mic: sample rate, if it is not the conversation's
b            speech: "1" when the turn barges in
s            playback: started, stalled or finished
p            playback: position in milliseconds
v            playback: the viewer's connection
r            interrupt, close: reason
key          speech: idempotency key of the turn, on its first chunk
traceparent  speech: W3C trace context of the request that brought it, on its
             first chunk; of a turn's first chunk, the turn's
source       speech: kind of speaker, on its first chunk: post, socket, viewer, agent,
             clip
m            speech: motion payloads that follow the chunk's audio, as a MessagePack
             array; on every chunk of a rendered clip, and on no other
tracestate   speech: beside it, when there is one
===========  ==================================================================

A new entry is a class here, in ``Entry`` (docs: CONTRIBUTING.md, "How to add a client message").
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Literal, Self, get_args

import msgspec

from relay_wire import text

PlaybackState = Literal["started", "stalled", "finished"]
TalksOver = Literal["", "requests", "always"]
Fields = tuple[str | bytes | int, ...]
"""Names and values of one stream entry, alternating."""
EncodedFields = Mapping[bytes, bytes]
"""The same as Redis returns them."""

_MAX_TURN = 2**32 - 1
"""The largest turn of a frame; also the largest position of a playback report."""
_MAX_OFFSET = 2**53
"""The largest integer that the scripts count exactly."""
_MAX_RATE = 2**20
_PLAYBACK_STATES: dict[str, PlaybackState] = {state: state for state in get_args(PlaybackState)}


class UplinkError(ValueError):
    """Raised when a stream entry is not an uplink entry."""


class Priority(IntEnum):
    """The order in which a full queue of entries drops them: the lowest first."""

    AUDIO = 0
    """Microphone audio that more audio follows."""
    REQUEST = 1
    """Entries that an agent answers; the end of microphone audio, too."""
    CONTROL = 2
    """Entries that must not be dropped."""


class _Entry(msgspec.Struct, frozen=True):
    """Properties of every entry, for bounded queues and for the script that appends it."""

    @property
    def kind(self) -> str:
        """Field ``k``."""
        return str(self.__struct_config__.tag)

    @property
    def priority(self) -> Priority:
        """When a full queue may drop it."""
        return Priority.CONTROL

    @property
    def size_bytes(self) -> int:
        """Size of its audio or text."""
        return 0

    @property
    def is_interrupt(self) -> bool:
        """Whether it interrupts: a queue of events keeps only the latest such event."""
        return False

    @property
    def talks_over(self) -> TalksOver:
        """The least ``talk_over`` of a conversation at which it interrupts the avatar; empty: at none."""
        return ""


class SpeechChunk(_Entry, frozen=True, tag="speech"):
    """A chunk of a turn's audio, in order; the first opens the turn, the one with ``end`` closes it."""

    turn: int
    offset: int
    pcm: bytes
    end: bool = False
    barge_in: bool = False
    traceparent: str = ""
    tracestate: str = ""
    key: str = ""
    source: str = ""
    motion: tuple[bytes, ...] | None = None
    """The motion to publish after the audio, of a clip; None: Motion Server renders the motion."""

    @property
    def size_bytes(self) -> int:
        """Size of its audio and motion."""
        return len(self.pcm) + sum(map(len, self.motion or ()))

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        return (
            "k", self.kind, "t", self.turn, "o", self.offset, "d", self.pcm,
            *_flag("e", set_=self.end), *_flag("b", set_=self.barge_in),
            *(("traceparent", self.traceparent) if self.traceparent else ()),
            *(("tracestate", self.tracestate) if self.tracestate else ()),
            *(("key", self.key) if self.key else ()),
            *(("source", self.source) if self.source else ()),
            *(("m", encode_motion(self.motion)) if self.motion is not None else ()),
        )  # fmt: skip

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(
            turn=_turn(fields),
            offset=_number(fields[b"o"], _MAX_OFFSET),
            pcm=fields[b"d"],
            end=fields.get(b"e") == b"1",
            barge_in=fields.get(b"b") == b"1",
            traceparent=text.traceparent(fields.get(b"traceparent", b"").decode("ascii", "replace")),
            tracestate=text.tracestate(fields.get(b"tracestate", b"").decode("ascii", "replace")),
            key=_ascii(fields.get(b"key", b"")),
            source=_ascii(fields.get(b"source", b"")),
            motion=decode_motion(fields[b"m"]) if b"m" in fields else None,
        )


class Interrupt(_Entry, frozen=True, omit_defaults=True, tag="interrupt"):
    """Cancel every turn up to this one, playing or waiting."""

    upto: int = 0
    """Set when it is appended, to the turn opened last."""
    reason: str = ""

    @property
    def is_interrupt(self) -> bool:
        """Always."""
        return True

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        return ("k", self.kind, "t", self.upto, "r", self.reason)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(_turn(fields), fields[b"r"].decode())


class Playback(_Entry, frozen=True, omit_defaults=True, tag="playback"):
    """A viewer's report of how far it has played a turn; it decides when the next turn may begin."""

    turn: int
    state: PlaybackState
    position_ms: int
    viewer: str = ""
    """The connection that reports."""

    def encode(self) -> Fields:
        """The stream fields, without ``c``; numbers within their limits."""
        turn, position_ms = min(self.turn, _MAX_TURN), max(0, min(self.position_ms, _MAX_TURN))
        return ("k", self.kind, "t", turn, "s", self.state, "p", position_ms, "v", self.viewer)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(
            turn=_turn(fields),
            state=_PLAYBACK_STATES[fields[b"s"].decode()],
            position_ms=_number(fields[b"p"], _MAX_OFFSET),
            viewer=fields.get(b"v", b"").decode(),
        )


class Text(_Entry, frozen=True, tag="text"):
    """Text that a viewer typed."""

    text: str

    @property
    def priority(self) -> Priority:
        """A request."""
        return Priority.REQUEST

    @property
    def size_bytes(self) -> int:
        """Size of its text in UTF-8."""
        return len(self.text.encode())

    @property
    def talks_over(self) -> TalksOver:
        """At requests."""
        return "requests"

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        return ("k", self.kind, "d", self.text)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(fields[b"d"].decode())


class Microphone(_Entry, frozen=True, tag="mic"):
    """A viewer's microphone audio: mono PCM16."""

    pcm: bytes
    end: bool = False
    """The listener has stopped talking."""
    sample_rate: int = 0
    """In Hz; 0 in the uplink: the conversation's. An agent's events always have it."""

    @property
    def priority(self) -> Priority:
        """Audio; a request with ``end``, since the answer waits for it."""
        return Priority.REQUEST if self.end else Priority.AUDIO

    @property
    def size_bytes(self) -> int:
        """Size of its audio."""
        return len(self.pcm)

    @property
    def talks_over(self) -> TalksOver:
        """At everything, unless it is empty."""
        return "always" if self.pcm else ""

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        rate = ("hz", self.sample_rate) if self.sample_rate else ()
        return ("k", self.kind, "d", self.pcm, *_flag("e", set_=self.end), *rate)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(fields[b"d"], fields.get(b"e") == b"1", _number(fields.get(b"hz", b"0"), _MAX_RATE))


class ClipRequest(_Entry, frozen=True, tag="sample"):
    """A clip for the avatar to speak, by name. Only AvatarKit clients send it."""

    clip: str

    @property
    def priority(self) -> Priority:
        """A request."""
        return Priority.REQUEST

    @property
    def size_bytes(self) -> int:
        """Size of the name in UTF-8."""
        return len(self.clip.encode())

    @property
    def talks_over(self) -> TalksOver:
        """At requests."""
        return "requests"

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        return ("k", self.kind, "d", self.clip)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(fields[b"d"].decode())


class Close(_Entry, frozen=True, tag="close"):
    """End the conversation."""

    reason: str

    def encode(self) -> Fields:
        """The stream fields, without ``c``."""
        return ("k", self.kind, "r", self.reason)

    @classmethod
    def decode(cls, fields: EncodedFields) -> Self:
        """Read the stream fields."""
        return cls(fields[b"r"].decode())


AgentMessage = Text | Microphone | ClipRequest
"""Entries that the conversation's agent may answer."""
Message = Interrupt | Playback | AgentMessage | Close
"""Entries besides speech."""
Entry = SpeechChunk | Message

_KINDS: dict[bytes, type[Entry]] = {
    str(kind.__struct_config__.tag).encode(): kind for kind in get_args(Entry)
}


def decode(fields: EncodedFields) -> Entry:
    """Read the fields of one stream entry.

    Raises:
        UplinkError: An unknown kind, or a field that is missing or malformed.
    """
    try:
        return _KINDS[fields[b"k"]].decode(fields)
    except (KeyError, ValueError) as error:
        raise UplinkError(f"not an uplink entry: {error!r}") from None


def encode_motion(payloads: Sequence[bytes]) -> bytes:
    """Field ``m`` with these motion payloads."""
    return msgspec.msgpack.encode(payloads)


def decode_motion(field: bytes) -> tuple[bytes, ...]:
    """Field ``m``; empty where it is unreadable: it must not cost the audio of its chunk."""
    try:
        return msgspec.msgpack.decode(field, type=tuple[bytes, ...])
    except msgspec.DecodeError:
        return ()


def _flag(name: str, *, set_: bool) -> Fields:
    return (name, "1") if set_ else ()


def _number(data: bytes, limit: int) -> int:
    # int() also accepts signs, spaces and underscores.
    if not data.isdigit() or len(data) > 20 or int(data) > limit:
        raise ValueError(f"not a number up to {limit}: {data[:32]!r}")
    return int(data)


def _turn(fields: EncodedFields) -> int:
    return _number(fields[b"t"], _MAX_TURN)


def _ascii(field: bytes) -> str:
    """An optional field; empty where it is unreadable: it must not cost the audio of its chunk."""
    return field.decode() if field.isascii() else ""
