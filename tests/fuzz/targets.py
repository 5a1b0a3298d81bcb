"""What is fuzzed: every decoder that reads what others have written, and how each may refuse."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay_auth.token_keys import keys_of
from relay_auth.viewer_tokens import Role, TokenError, mint, verify
from relay_control.media import samples_of
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing, Unreadable
from relay_turns.state import TurnState
from relay_wire import audio_socket, events, frame, messages, uplink
from relay_wire.avatarkit import host, texts
from relay_wire.avatarkit import messages as clients
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import Position, PositionError
from relay_wire.problems import Problem

ED25519_PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
KEYS = keys_of({"a.hs256": b"a key of forty characters for the tests.", "b.pem": ED25519_PEM})


class Target(NamedTuple):
    """One decoder."""

    decode: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    """What it may raise; anything else is a defect."""
    seeds: tuple[bytes, ...]
    """Inputs it takes."""

    def probe(self, data: bytes) -> bool:
        """Whether the input is taken. A defect propagates."""
        try:
            self.decode(data)
        except self.refusals:
            return False
        return True


def _frame(kind: Kind, payload: bytes, flags: Flags = Flags.NONE) -> bytes:
    return frame.encode(Frame(kind, flags, Codec.PCM_S16LE, 7, 1_700_000_000_000, 9, 20, 30, payload))


def _text(decode: Callable[[str], object]) -> Callable[[bytes], object]:
    """A WebSocket's texts are valid UTF-8 before anybody reads them."""
    return lambda data: decode(data.decode(errors="replace"))


def _fields(decode: Callable[[dict[bytes, bytes]], object]) -> Callable[[bytes], object]:
    """Alternating names and values, with separators that neither contains."""

    def split(data: bytes) -> object:
        parts = data.split(b"\xff\xfe")
        return decode(dict(zip(parts[::2], parts[1::2], strict=False)))

    return split


def _entry(**fields: bytes) -> bytes:
    return b"\xff\xfe".join(part for name, value in fields.items() for part in (name.encode(), value))


_EVENTS = (
    events.TurnStarted(), events.TurnEnded("complete"), events.Interrupted("viewer"),
    events.AudioOnly("late"), events.OwnerChanged("1-2"), events.Transcript("user", "hé"),
    events.Error("c", "m", retryable=True),
    events.ConversationEnded("deleted"), events.Hello("1-2", 3, 16000, "pcm_s16le", "a"),
    events.Gap("1-2", "3-4"), events.Reconnect(5, "draining"), events.Pong("6"),
)  # fmt: skip
_WAV = bytes.fromhex(
    "524946462a00000057415645666d742010000000010001 00803e0000007d00000200100064617461060000000100 02000300"
)

TARGETS = {
    "frame": Target(
        frame.decode,
        (frame.FrameError,),
        (_frame(Kind.AUDIO, b"\1\2", Flags.END), _frame(Kind.MOTION, b"motion"), _frame(Kind.EVENT, b"{}")),
    ),
    "event": Target(events.decode, (events.EventError,), tuple(events.encode(event) for event in _EVENTS)),
    "translated": Target(
        texts.translate,
        (frame.FrameError,),
        (
            *(_frame(Kind.EVENT, events.encode(event)) for event in _EVENTS),
            _frame(Kind.AUDIO, b"\1\2"),
            _frame(Kind.MOTION, b"motion", Flags.END),
        ),
    ),
    "position": Target(_text(Position.parse), (PositionError,), (b"0-0", b"1700000000000-4294967295")),
    "viewer": Target(
        _text(messages.decode),
        (messages.MessageError,),
        (
            messages.encode(uplink.Interrupt()).encode(),
            messages.encode(uplink.Text("hello")).encode(),
            messages.encode(messages.Ping("1")).encode(),
            messages.encode(uplink.Playback(1, "started", 2)).encode(),
        ),
    ),
    "client": Target(
        _text(clients.decode),
        (messages.MessageError,),
        (
            b'{"type":"mic_audio","audio":"AQI="}', b'{"type":"set_avatar","avatarId":""}',
            b'{"type":"start_agent","language":"en"}', b'{"type":"text_query","text":"\\u00e9"}',
            b'{"type":"play_sample","clip":"hi.wav"}', b'{"type":"mic_end"}', b'{"type":"dance"}',
        ),
    ),
    "host_start": Target(
        _text(host.decode_start),
        (messages.MessageError,),
        (b'{"action":"start"}', b'{"action":"start","avatar_id":"a","sample_rate":24000}'),
    ),
    "host_audio": Target(host.decode_audio, (messages.MessageError,), (b"\1\0\1\2", b"\1\1")),
    "speaker": Target(
        _text(audio_socket.decode),
        (audio_socket.AudioSocketError,),
        (
            audio_socket.encode(audio_socket.Start(barge_in=True, key="k", turn=3)).encode(),
            audio_socket.encode(audio_socket.End()).encode(),
            audio_socket.encode(audio_socket.Interrupt()).encode(),
        ),
    ),
    "uplink": Target(
        _fields(uplink.decode),
        (uplink.UplinkError,),
        (
            _entry(k=b"speech", t=b"1", o=b"0", d=b"\1\2", e=b"1", b=b"1", traceparent=b"00-1", key=b"x"),
            _entry(k=b"interrupt", t=b"1", r=b"viewer"), _entry(k=b"playback", t=b"1", s=b"started", p=b"9"),
            _entry(k=b"text", d="hé".encode()), _entry(k=b"mic", d=b"\1\2", e=b"1"),
            _entry(k=b"sample", d=b"clip"), _entry(k=b"close", r=b"deleted"),
        ),
    ),
    "record": Target(
        _fields(lambda fields: Conversation.from_fields("c", fields)),
        (Missing, Unreadable),
        (
            _entry(
                state=b"open", avatar=b"a", sample_rate=b"16000", codec=b"0", created=b"1", owner=b"w",
                generation=b"2", tail=b"2-3", turn=b"1", turn_first=b"2-1", in_turn=b"1", in_state=b"cut",
            ),
        ),
    ),
    "checkpoint": Target(TurnState.decode, (msgspec.MsgspecError,), (b"", TurnState(turn=1).encode())),
    "wav": Target(lambda data: samples_of(data, "audio/wav", 16000), (Problem,), (_WAV,)),
    "token": Target(
        _text(lambda token: verify(KEYS.by_kid, token)),
        (TokenError,),
        tuple(
            mint(key, conversation="c", role=Role.SPEAK, ttl_s=86_400)[0].encode()
            for key in KEYS.by_kid.values()
        ),
    ),
}  # fmt: skip
