"""The vendor's clients' messages and texts, field by field (facts 5.2)."""

import json

import pytest

from relay_wire import events, frame
from relay_wire.avatarkit import messages, texts
from relay_wire.frame import MAX_MOTION_BYTES, MAX_PAYLOAD_BYTES, Codec, Flags, Frame, Kind
from relay_wire.messages import MessageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"set_avatar","avatarId":"a1"}', messages.SetAvatar("a1")),
        ('{"type":"set_avatar","avatarId":""}', messages.SetAvatar()),
        ('{"type":"start_agent"}', messages.StartAgent()),
        ('{"type":"start_agent","language":"de"}', messages.StartAgent("de")),
        ('{"type":"mic_audio","audio":"AQI="}', messages.MicAudio(b"\x01\x02")),
        ('{"type":"mic_end"}', messages.MicEnd()),
        ('{"type":"text","text":"hi","id":1}', messages.Text("hi")),
        ('{"type":"text_query","text":"hi"}', messages.TextQuery("hi")),
        ('{"type":"interrupt"}', messages.Interrupt()),
        ('{"type":"ping"}', messages.Ping()),
        ('{"type":"play_sample","clip":"hello"}', messages.PlaySample("hello")),
        ('{"type":"dance","with":"me"}', messages.Unknown("dance")),
    ],
)
def test_every_generations_messages(text: str, message: object) -> None:
    """They read as their clients write them; unknown types and fields do no harm."""
    assert messages.decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"type":1}',
        '{"type":"text"}',
        '{"type":"mic_audio","audio":"?"}',
        '"\ud800"',
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    """Malformed JSON and fields of the wrong type are named."""
    with pytest.raises(MessageError, match="not a message"):
        messages.decode(text)


def translated(kind: Kind, payload: bytes, *, end: bool = False, turn: int = 3) -> list[dict[str, object]]:
    """What a frame becomes, read again."""
    flags = Flags.END if end else Flags.NONE
    data = frame.encode(Frame(kind, flags, Codec.PCM_S16LE, turn, 1, 7, 0, 0, payload))
    result = texts.translate(data).texts
    assert all(len(text) < texts.MAX_TEXT_BYTES for text in result)
    return [json.loads(text) for text in result]


def test_audio_and_motion() -> None:
    """Base64 in the fields the clients read, and ours beside them."""
    ours = {"turnId": "3", "seq": 7}
    assert translated(Kind.AUDIO, b"\x01\x02") == [
        {"type": "avatar_audio", "audio": "AQI=", "isLast": False, **ours}
    ]
    assert translated(Kind.AUDIO, b"", end=True) == [
        {"type": "avatar_audio", "audio": "", "isLast": True, **ours}
    ]
    assert translated(Kind.MOTION, b"\x01", end=True) == [
        {"type": "avatar_frames", "frames": ["AQ=="], "isLast": True, **ours}
    ]


def test_the_switch_to_audio_is_no_empty_list() -> None:
    """It is a status; the empty motion frame itself becomes nothing."""
    assert translated(Kind.EVENT, events.encode(events.AudioOnly("motion_timeout"))) == [
        {"type": "status", "message": "the avatar continues without motion: motion_timeout"}
    ]
    assert translated(Kind.MOTION, b"", end=True) == []


def test_the_largest_frames_fit() -> None:
    """Every text is below 1 MiB: audio is cut between samples, motion is never larger than fits."""
    pieces = translated(Kind.AUDIO, bytes(MAX_PAYLOAD_BYTES), end=True, turn=2**32 - 1)
    assert [piece["isLast"] for piece in pieces] == [False, True]
    assert len(translated(Kind.MOTION, bytes(MAX_MOTION_BYTES), turn=2**32 - 1)) == 1


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.TurnStarted(), []),
        (events.TurnEnded("complete"), []),
        (events.OwnerChanged("1-2"), []),
        (events.Interrupted("viewer"), [{"type": "interrupt", "reason": "client_interrupt", "turnId": "3"}]),
        (events.Interrupted("barge_in"), [{"type": "interrupt", "reason": "agent_interrupt", "turnId": "3"}]),
        (events.Transcript("user", "hi"), [{"type": "transcript", "role": "user", "text": "hi"}]),
        (
            events.Error("upstreamError", "no", retryable=True),
            [{"type": "error", "message": "no", "code": "upstreamError", "retryable": True}],
        ),
        (
            events.ConversationEnded("deleted"),
            [{"type": "status", "message": "the conversation is over: deleted"}],
        ),
    ],
)
def test_events(event: events.StreamEvent, expected: list[object]) -> None:
    """Each as the clients' own message, or as none."""
    assert translated(Kind.EVENT, events.encode(event)) == expected


def test_ready_has_the_fields_of_all_generations() -> None:
    """And both rates are the one that is sent."""
    hello = events.Hello("1-2", 0, 24000, "pcm_s16le", "ava", "app", "us-west")

    assert json.loads(texts.ready("c1", hello)) == {
        "type": "ready",
        "sessionId": "c1",
        "avatar": {"appId": "app", "avatarId": "ava", "region": "us-west"},
        "inputSampleRate": 24000,
        "outputSampleRate": 24000,
        "missing": [],
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            events.Reconnect(1000, "drain"),
            [{"type": "status", "message": "this gateway is leaving: please connect again"}],
        ),
        (
            events.UnsupportedMessage("text"),
            [
                {
                    "type": "status",
                    "message": "this conversation's agent does not answer messages of the kind text",
                }
            ],
        ),
        (events.Pong(), [{"type": "pong"}]),
    ],
)
def test_events_of_the_gateway(event: events.Event, expected: list[object]) -> None:
    """Those that no stream has become texts, too."""
    assert [json.loads(text) for text in texts.of_event(event)] == expected
