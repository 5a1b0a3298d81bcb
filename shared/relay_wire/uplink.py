"""Uplink entries: what the ``up`` stream carries to the owner, as flat fields that redis-cli can show.

========  =====================================================================
field     meaning
========  =====================================================================
k         kind: speech, interrupt, playback, text, mic, sample, close
t         turn; for an interrupt the last turn it cancels
o         speech: byte offset of this chunk in its turn
c         what was ever appended before this entry: bytes, bytes of viewers, entries of viewers; what waits
          is counted with it
d         speech and mic: PCM, none where a silent turn is held open; text and sample: UTF-8
e         speech: "1" on the last chunk of the turn; mic: "1" when the listener has stopped talking
b         speech: "1" when the turn barges in
s         playback: started, stalled or finished
v         playback: who reports, by connection
p         playback: position in milliseconds
r         interrupt and close: reason
key       speech: what the turn was opened with, on its first chunk
traceparent  W3C trace context of the turn, on its first chunk
========  =====================================================================
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, get_args

from relay_wire import text
from relay_wire.messages import PlaybackState

_MAX_TURN = 2**32 - 1
"""What fits a frame."""
_MAX_OFFSET = 2**53
"""Up to here the scripts' numbers are whole."""
_PLAYBACK_STATES: dict[str, PlaybackState] = {state: state for state in get_args(PlaybackState)}


class UplinkError(ValueError):
    """Raised when a stream entry is not an uplink entry."""


class SpeechChunk(NamedTuple):
    """A chunk of a turn's audio, in order; the first opens the turn, the one with ``end`` closes it."""

    turn: int
    offset: int
    pcm: bytes
    end: bool = False
    barge_in: bool = False
    traceparent: str = ""
    key: str = ""


class Interrupt(NamedTuple):
    """Cancel every turn up to this one, spoken or waiting."""

    upto: int
    reason: str


class Playback(NamedTuple):
    """A viewer's report of how far it has played a turn."""

    turn: int
    state: PlaybackState
    position_ms: int
    viewer: str = ""
    """Who reports: one connection of one viewer."""


class Text(NamedTuple):
    """Text a viewer typed."""

    text: str


class Microphone(NamedTuple):
    """A viewer's microphone audio."""

    pcm: bytes
    end: bool = False


class ClipRequest(NamedTuple):
    """A clip that a viewer wants to hear, by name."""

    clip: str


class Close(NamedTuple):
    """The conversation is to end."""

    reason: str


Entry = SpeechChunk | Interrupt | Playback | Text | Microphone | ClipRequest | Close


def _number(data: bytes, limit: int) -> int:
    # int() would also take signs, spaces and underscores.
    if not data.isdigit() or len(data) > 20 or int(data) > limit:
        raise ValueError(f"not a number up to {limit}: {data[:32]!r}")
    return int(data)


def _turn(fields: Mapping[bytes, bytes]) -> int:
    return _number(fields[b"t"], _MAX_TURN)


def decode(fields: Mapping[bytes, bytes]) -> Entry:
    """Read the fields of one stream entry.

    Raises:
        UplinkError: An unknown kind, or a field that is missing or has no meaning.
    """
    try:
        return _DECODERS[fields[b"k"]](fields)
    except (KeyError, ValueError) as error:
        raise UplinkError(f"not an uplink entry: {error!r}") from None


def _key(field: bytes) -> str:
    """What names an opening is optional: one that cannot be read costs no audio."""
    return field.decode() if field.isascii() else ""


def _speech(fields: Mapping[bytes, bytes]) -> SpeechChunk:
    return SpeechChunk(
        turn=_turn(fields),
        offset=_number(fields[b"o"], _MAX_OFFSET),
        pcm=fields[b"d"],
        end=fields.get(b"e") == b"1",
        barge_in=fields.get(b"b") == b"1",
        traceparent=text.traceparent(fields.get(b"traceparent", b"").decode("ascii", "replace")),
        key=_key(fields.get(b"key", b"")),
    )


def _playback(fields: Mapping[bytes, bytes]) -> Playback:
    return Playback(
        turn=_turn(fields),
        state=_PLAYBACK_STATES[fields[b"s"].decode()],
        position_ms=_number(fields[b"p"], _MAX_OFFSET),
        viewer=fields.get(b"v", b"").decode(),
    )


_DECODERS: dict[bytes, Callable[[Mapping[bytes, bytes]], Entry]] = {
    b"speech": _speech,
    b"interrupt": lambda fields: Interrupt(_turn(fields), fields[b"r"].decode()),
    b"playback": _playback,
    b"text": lambda fields: Text(fields[b"d"].decode()),
    b"mic": lambda fields: Microphone(fields[b"d"], fields.get(b"e") == b"1"),
    b"sample": lambda fields: ClipRequest(fields[b"d"].decode()),
    b"close": lambda fields: Close(fields[b"r"].decode()),
}
