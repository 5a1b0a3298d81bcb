"""Texts: messages for the vendor's clients, as JSON with a ``type`` field and payloads in base64.

The texts of a frame are the same for every client, so they are encoded once. ``turnId`` and ``seq`` are the
relay's own, for logs and tests: clients ignore unknown fields.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from relay_wire import events, frame
from relay_wire.frame import MAX_MOTION_BYTES, Frame, Kind
from relay_wire.pcm import chunks

MAX_TEXT_BYTES = 2**20
"""Every text is shorter: the most that iOS accepts (facts 4.5)."""

_Step = Literal["starts", "audio", "ends", "continues", "over"]
"""``ends``: the audio; ``over``: the turn, its motion included."""


class VendorMessages(NamedTuple):
    """The messages for one frame, and their effect on the turn's round in a client."""

    turn: int
    """0 outside any turn."""
    step: _Step
    texts: Sequence[bytes]


class _Text(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """The base of all texts."""


class _Ready(_Text, frozen=True, tag="ready"):
    session_id: str
    avatar: dict[str, str]
    input_sample_rate: int
    output_sample_rate: int
    missing: tuple[str, ...] = ()


class _Audio(_Text, frozen=True, tag="avatar_audio"):
    audio: bytes | memoryview
    is_last: bool
    turn_id: str
    seq: int


class _Frames(_Text, frozen=True, tag="avatar_frames"):
    frames: tuple[bytes | memoryview, ...]
    is_last: bool
    turn_id: str
    seq: int


class _Transcript(_Text, frozen=True, tag="transcript"):
    role: str
    text: str


class _Interrupt(_Text, frozen=True, tag="interrupt"):
    reason: Literal["client_interrupt", "agent_interrupt"]
    turn_id: str


class _Status(_Text, frozen=True, tag="status"):
    message: str


class _Error(_Text, frozen=True, tag="error"):
    message: str
    code: str
    retryable: bool


class _Pong(_Text, frozen=True, tag="pong"):
    pass


_encode = msgspec.json.Encoder().encode

AGENT_READY = b'{"type":"agent_ready"}'


def closing(turn: int) -> bytes:
    """The closing audio of a turn whose last frame is lost: without it the avatar never rests."""
    return _encode(_Audio(b"", is_last=True, turn_id=str(turn), seq=0))


def status(message: str) -> bytes:
    """A ``status`` message, which the app logs."""
    return _encode(_Status(message))


def ready(conversation: str, hello: events.Hello) -> bytes:
    """The first text on every socket, with the fields of all generations."""
    avatar = {"appId": hello.app_id, "avatarId": hello.avatar_id, "region": hello.region}
    return _encode(_Ready(conversation, avatar, hello.sample_rate, hello.sample_rate))


def translate(data: bytes) -> VendorMessages:
    """The messages for a frame of the stream, or of the gateway.

    The switch to audio-only becomes a ``status``, and no motion of the turn follows: an empty list, as
    the relay's own protocol has it, is never sent to these clients (facts 4.3); they play audio without it.

    Raises:
        FrameError: The bytes are not a frame.
    """
    received = frame.decode(data)
    if received.kind is Kind.AUDIO:
        return VendorMessages(received.turn, "ends" if received.is_end else "audio", _audio(received))
    if received.kind is Kind.MOTION:
        return VendorMessages(received.turn, "continues", _motion(received))
    event = events.of_frame(data)
    return VendorMessages(received.turn, _step(event), of_event(event, received.turn))


def _step(event: events.Event | events.Unknown | None) -> _Step:
    match event:
        case events.TurnStarted():
            return "starts"
        case events.TurnEnded():
            return "over"
    return "continues"


def of_event(event: events.Event | events.Unknown | None, turn: int = 0) -> Sequence[bytes]:
    """The messages for an event; none when the clients have no message for it."""
    text: _Text | None = None
    match event:
        case events.Interrupted(reason):
            text = _Interrupt("client_interrupt" if reason == "viewer" else "agent_interrupt", str(turn))
        case events.Transcript(role, spoken):
            text = _Transcript(role, spoken)
        case events.Error(code, message, retryable):
            text = _Error(message, code, retryable)
        case events.AudioOnly(reason):
            text = _Status(f"the avatar continues without motion: {reason}")
        case events.ConversationEnded(reason):
            text = _Status(f"the conversation is over: {reason}")
        case events.Reconnect():
            text = _Status("this gateway is leaving: please connect again")
        case events.UnsupportedMessage(kind):
            text = _Status(f"this conversation's agent does not answer messages of the kind {kind}")
        case events.Pong():
            text = _Pong()
    return (_encode(text),) if text else ()


def _audio(received: Frame) -> Sequence[bytes]:
    # Audio frames may be larger than motion frames; samples can be split.
    *pieces, last = chunks(bytes(received.payload), MAX_MOTION_BYTES) or [b""]
    turn_id = str(received.turn)
    return (
        *(_encode(_Audio(piece, is_last=False, turn_id=turn_id, seq=received.seq)) for piece in pieces),
        _encode(_Audio(last, is_last=received.is_end, turn_id=turn_id, seq=received.seq)),
    )


def _motion(received: Frame) -> Sequence[bytes]:
    if not received.payload:
        return ()
    frames = (received.payload,)
    return (_encode(_Frames(frames, received.is_end, str(received.turn), received.seq)),)
