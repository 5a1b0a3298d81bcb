"""Messages of viewers and speakers, close codes, problems, PCM."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire import audio_socket, close_codes, messages, pcm, problems, uplink
from relay_wire.audio_socket import AudioSocketError
from relay_wire.avatarkit import host
from relay_wire.avatarkit import messages as avatarkit_messages
from relay_wire.close_codes import ReconnectAdvice
from relay_wire.messages import MessageError
from relay_wire.problems import Problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"interrupt"}', uplink.Interrupt()),
        ('{"type":"text","text":"hi"}', uplink.Text("hi")),
        ('{"type":"playback","turn":3,"state":"finished"}', uplink.Playback(3, "finished", 0)),
        ('{"type":"ping","id":"7","extra":1}', messages.Ping("7")),
        ('{"type":"ping","id":7}', messages.Ping(7)),
        ('{"type":"ping","id":0.5}', messages.Ping(0.5)),
        ('{"type":"ping","id":false}', messages.Ping(id=False)),
        ('{"type":"ping","id":null}', messages.Ping(None)),
    ],
)
def test_viewers_messages(text: str, message: messages.JsonMessage) -> None:
    """They read as the protocol has them, and round-trip."""
    assert messages.decode(text) == message
    assert messages.decode(messages.encode(message)) == message


@pytest.mark.parametrize(
    ("fields", "turn", "position_ms"),
    [
        ('"turn":1.0', 1, 0),
        ('"turn":1,"position_ms":1234.0', 1, 1234),
        ('"turn":1,"position_ms":1234.6', 1, 1235),
        ('"turn":1e2,"position_ms":1.5E3', 100, 1500),
        ('"turn":1,"position_ms":null', 1, 0),
        ('"turn":1,"position_ms":-0.4', 1, 0),
        ('"turn":1,"position_ms":' + "9" * 4000, 1, 2**32 - 1),
        ('"turn":4294967295,"position_ms":1e300', 2**32 - 1, 2**32 - 1),
    ],
)
def test_numbers_as_other_languages_write_them(fields: str, turn: int, position_ms: int) -> None:
    """Whole floats are integers, positions are rounded, and nothing infinite reaches the store."""
    report = messages.decode(f'{{"type":"playback","state":"started",{fields}}}')

    assert report == uplink.Playback(turn, "started", position_ms)
    assert isinstance(report, uplink.Playback)
    assert isinstance(report.turn, int)
    assert isinstance(report.position_ms, int)


@pytest.mark.parametrize(
    "fields",
    ['"turn":1.5', '"turn":-1', '"turn":4294967296', '"turn":' + "9" * 5000, '"turn":1e999', '"turn":"1"',
     '"turn":null', '"turn":1,"state":"paused"', '"turn":1,"position_ms":""', '"turn":1,"position_ms":1e400'],
)  # fmt: skip
def test_a_report_that_cannot_be_understood_is_told_apart(fields: str) -> None:
    """Its sender is a player that reports again and again, and must not end by that."""
    with pytest.raises(messages.ReportError):
        messages.decode(f'{{"type":"playback","state":"started",{fields}}}')


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping","x":' + "[" * 60_000,
        '{"type":"playback","turn":1,"x":' + '{"a":' * 60_000,
        '{"type":"ping","id":' + "9" * 100 + "}",
        '{"type":"ping","id":[]}',
        '{"type":"ping","id":"' + "x" * 129 + '"}',
        '{"type":"text","text":"\\ud800"}',
        '{"type":"text","text":"\ud800"}',
    ],
)
def test_what_is_deep_or_endless_is_no_message(text: str) -> None:
    """It raises the module's own error, whatever the decoder raises."""
    with pytest.raises(MessageError):
        messages.decode(text)


def test_what_is_deep_is_no_message_of_the_vendors_clients() -> None:
    """Neither of their JSON, nor of their binary protocol's first message."""
    deep = "[" * 60_000
    for decode in (avatarkit_messages.decode, host.decode_start):
        for text in (deep, '{"type":"ping","x":' + deep, '{"action":"start","x":' + deep):
            with pytest.raises(MessageError):
                decode(text)


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "{}", '{"type":"dance"}', '{"type":"text"}', '{"type":"playback","turn":"x"}']
)
def test_what_is_no_message_is_refused(text: str) -> None:
    """Malformed JSON, unknown types and missing fields are named."""
    with pytest.raises(MessageError, match="not a message"):
        messages.decode(text)


def test_speakers_messages_round_trip() -> None:
    """Both directions of the audio socket."""
    start = audio_socket.Start(barge_in=True, traceparent="00-1", tracestate="v=1")
    answer = audio_socket.Ack(3, 6400)

    assert audio_socket.decode(audio_socket.encode(start)) == start
    assert audio_socket.decode_answer(audio_socket.encode(answer)) == answer
    with pytest.raises(AudioSocketError):
        audio_socket.decode(audio_socket.encode(answer))
    with pytest.raises(AudioSocketError):
        audio_socket.decode_answer("{")


@given(st.text(max_size=60))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    """Garbage raises the module's own error and nothing else."""
    for decode, refusal in ((messages.decode, MessageError), (audio_socket.decode, AudioSocketError)):
        try:
            decode(text)
        except refusal:
            continue


def test_close_codes_are_unique_and_legal() -> None:
    """The registry holds every code once; ours are in the private range (RFC 6455 7.4.2)."""
    names = [code.name for code in close_codes.REGISTRY.values()]

    assert len(names) == len(set(names))
    assert all(code < 1016 or 4000 <= code <= 4999 for code in close_codes.REGISTRY)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (1000, ReconnectAdvice.FINAL),
        (1006, ReconnectAdvice.RESUME),
        (1012, ReconnectAdvice.RESUME),
        (1013, ReconnectAdvice.BACK_OFF),
        (4100, ReconnectAdvice.RESUME),
        (4199, ReconnectAdvice.RESUME),
        (4299, ReconnectAdvice.BACK_OFF),
        (4499, ReconnectAdvice.FINAL),
        (4999, ReconnectAdvice.BACK_OFF),
        (3000, ReconnectAdvice.BACK_OFF),
    ],
)
def test_advice(code: int, advice: ReconnectAdvice) -> None:
    """Known codes have their own, unknown ones their range's."""
    assert close_codes.advice(code) is advice


def test_registered_advice_agrees_with_its_range() -> None:
    """A client that knows only the ranges does the right thing."""
    for code, entry in close_codes.REGISTRY.items():
        if code >= 4000:
            unknown_neighbour = code // 100 * 100 + 99
            assert close_codes.advice(unknown_neighbour) is entry.advice


def test_problems_have_rfc_9457_members() -> None:
    """Type, title, status, detail, and what else helps."""
    problem = Problem(problems.TURN_OPEN, "turn 3 is open", turn=3)

    assert problem.body() == {
        "type": "urn:avatar-relay:problem:turn-open",
        "title": "Another turn is being spoken into this conversation",
        "status": 409,
        "detail": "turn 3 is open",
        "turn": 3,
    }
    assert problems.REGISTRY["turn-open"] is problems.TURN_OPEN


@given(st.integers(0, 10**7), st.sampled_from(pcm.SAMPLE_RATES))
def test_pcm_arithmetic(duration_ms: int, sample_rate: int) -> None:
    """Chunks are whole samples and last as long as asked, to the sample."""
    size = pcm.chunk_bytes(duration_ms, sample_rate)

    assert size % pcm.BYTES_PER_SAMPLE == 0
    assert size >= pcm.BYTES_PER_SAMPLE
    assert abs(pcm.duration_ms(size, sample_rate) - duration_ms) <= 1
