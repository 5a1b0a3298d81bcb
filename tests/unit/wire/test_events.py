"""Events: names on the wire, unknown types, continuity."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire import events, frame
from relay_wire.events import Event, EventError, OwnerChanged, Unknown
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import START, Position

EXAMPLES: list[tuple[Event, dict[str, object]]] = [
    (events.TurnStarted(), {"type": "turn_started"}),
    (events.TurnStarted(1234), {"type": "turn_started", "received_at_ms": 1234}),
    (events.TurnEnded("complete"), {"type": "turn_ended", "outcome": "complete"}),
    (events.Interrupted("viewer"), {"type": "interrupted", "reason": "viewer"}),
    (events.AudioOnly("motion_timeout"), {"type": "audio_only", "reason": "motion_timeout"}),
    (events.OwnerChanged("5-9"), {"type": "owner_changed", "after": "5-9"}),
    (events.Transcript("user", "hi"), {"type": "transcript", "role": "user", "text": "hi"}),
    (
        events.Error("avatarNotFound", "no", retryable=False),
        {"type": "error", "code": "avatarNotFound", "message": "no", "retryable": False},
    ),
    (events.ConversationEnded("deleted"), {"type": "conversation_ended", "reason": "deleted"}),
    (events.Gap("5-1", "5-9"), {"type": "gap", "from": "5-1", "to": "5-9"}),
    (events.Reconnect(100, "drain"), {"type": "reconnect", "after_ms": 100, "reason": "drain"}),
    (events.Pong("1"), {"type": "pong", "id": "1"}),
    (events.Pong(1.5), {"type": "pong", "id": 1.5}),
    (events.UnsupportedMessage("text"), {"type": "unsupported_message", "kind": "text"}),
    (events.TokenRenewed("t", 17), {"type": "token_renewed", "token": "t", "expires_at": 17}),
    (
        events.Hello("5-1", 2, 16000, "pcm_s16le", "ava", "app", "us-west"),
        {
            "type": "hello", "position": "5-1", "turn": 2, "sample_rate": 16000, "codec": "pcm_s16le",
            "avatar_id": "ava", "app_id": "app", "region": "us-west",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "wire"), EXAMPLES)
def test_names_on_the_wire(event: Event, wire: dict[str, object]) -> None:
    """Every event reads and writes as the protocol has it."""
    assert json.loads(events.encode(event)) == wire
    assert events.decode(json.dumps(wire).encode()) == event


def test_every_event_has_an_example() -> None:
    """The table above is complete."""
    assert {type(event) for event, _ in EXAMPLES} == set(Event.__args__)


def test_unknown_fields_are_ignored() -> None:
    """A newer relay may send more fields."""
    assert events.decode(b'{"type":"pong","id":"1","new":[1]}') == events.Pong("1")


def test_unknown_types_are_told_apart() -> None:
    """A newer relay may send other events; they are not errors."""
    assert events.decode(b'{"type":"weather","sun":true}') == Unknown("weather")


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"type":1}', b'{"no":"type"}', b'{"type":"turn_ended"}', b"\xff\xfe"]
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    """Broken JSON, no type, a known type without its fields."""
    with pytest.raises(EventError, match="not an event"):
        events.decode(payload)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event_or_refused(payload: bytes) -> None:
    """Garbage raises EventError and nothing else."""
    try:
        events.decode(payload)
    except EventError:
        return


@pytest.mark.parametrize(
    ("cursor", "position", "event", "follows"),
    [
        (Position(5, 1), Position(5, 2), None, True),
        (Position(5, 1), Position(5, 3), None, False),
        (Position(5, 2), Position(5, 2), None, False),
        (Position(5, 2), Position(5, 1), None, False),
        (Position(5, 9), Position(6, 1), OwnerChanged("5-9"), True),
        (Position(5, 8), Position(6, 1), OwnerChanged("5-9"), False),
        (Position(5, 9), Position(6, 1), None, False),
        (Position(5, 9), Position(6, 2), OwnerChanged("5-9"), False),
        (START, Position(6, 1), OwnerChanged("0-0"), True),
        (Position(6, 0), Position(6, 1), OwnerChanged("5-9"), True),
    ],
)
def test_continuity(cursor: Position, position: Position, event: Event | None, follows: bool) -> None:  # noqa: FBT001
    """Within a generation by seq; across generations by the position that the new owner's event names."""
    assert events.follows(cursor, position, event) is follows


def test_the_event_of_a_frame() -> None:
    """Only event frames have one; an unreadable one counts as none."""
    audio = Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, 2, 3, 4, 5, b"x")
    event_frame = audio._replace(kind=Kind.EVENT, payload=events.encode(events.TurnStarted()))

    assert events.of_frame(frame.encode(audio)) is None
    assert events.of_frame(frame.encode(event_frame)) == events.TurnStarted()
    assert events.of_frame(frame.encode(event_frame._replace(payload=b"{"))) is None


def test_a_renewed_token_is_not_shown() -> None:
    """Who logs events, or prints them, does not log it."""
    event = events.TokenRenewed("planted-secret-of-a-viewer", 17)

    assert events.decode(events.encode(event)) == event
    assert "planted" not in repr(event)
    assert "planted" not in f"{event} {[event]}"
