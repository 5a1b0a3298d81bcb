"""Uplink entries: what the up stream carries, in both directions."""

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire import uplink
from relay_wire.uplink import Priority, UplinkError

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

VECTORS = [
    (
        uplink.SpeechChunk(2, 64, b"ab", end=True, barge_in=True, traceparent=TRACEPARENT, key="k"),
        {"k": "speech", "t": "2", "o": "64", "d": b"ab", "e": "1", "b": "1", "traceparent": TRACEPARENT,
         "key": "k"},
    ),
    (
        uplink.SpeechChunk(2, 64, b"ab", traceparent=TRACEPARENT, tracestate="vendor=1"),
        {"k": "speech", "t": "2", "o": "64", "d": b"ab", "traceparent": TRACEPARENT,
         "tracestate": "vendor=1"},
    ),
    (
        uplink.SpeechChunk(2, 0, b"ab", motion=(b"m1", b"")),
        {"k": "speech", "t": "2", "o": "0", "d": b"ab", "m": b"\x92\xc4\x02m1\xc4\x00"},
    ),
    (
        uplink.SpeechChunk(2, 0, b"ab", motion=()),
        {"k": "speech", "t": "2", "o": "0", "d": b"ab", "m": b"\x90"},
    ),
    (uplink.SpeechChunk(2, 0, b""), {"k": "speech", "t": "2", "o": "0", "d": b""}),
    (uplink.Interrupt(2, "viewer"), {"k": "interrupt", "t": "2", "r": "viewer"}),
    (
        uplink.Playback(2, "started", 9, "c1"),
        {"k": "playback", "t": "2", "s": "started", "p": "9", "v": "c1"},
    ),
    (uplink.Text("é"), {"k": "text", "d": "é"}),
    (uplink.Microphone(b"\x01\xff"), {"k": "mic", "d": b"\x01\xff"}),
    (uplink.Microphone(b"", end=True), {"k": "mic", "d": b"", "e": "1"}),
    (
        uplink.Microphone(b"ab", end=True, sample_rate=16000),
        {"k": "mic", "d": b"ab", "e": "1", "hz": "16000"},
    ),
    (uplink.ClipRequest("hello"), {"k": "sample", "d": "hello"}),
    (uplink.Close("deleted"), {"k": "close", "r": "deleted"}),
]  # fmt: skip


def as_bytes(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def stored(fields: Sequence[str | bytes | int]) -> dict[bytes, bytes]:
    """Names and values, as Redis returns them."""
    encoded = [as_bytes(field) for field in fields]
    return dict(zip(encoded[::2], encoded[1::2], strict=True))


@pytest.mark.parametrize(("entry", "fields"), VECTORS, ids=lambda part: getattr(part, "kind", ""))
def test_vectors(entry: uplink.Entry, fields: dict[str, str | bytes]) -> None:
    """Each entry encodes to its fields, kind and audio or text first, and decodes from them."""
    expected = {name.encode(): as_bytes(value) for name, value in fields.items()}

    assert stored(entry.encode()) == expected
    assert entry.encode()[:2] == ("k", entry.kind)
    assert uplink.decode(expected) == entry
    assert uplink.decode({**expected, b"c": b"1 2 3"}) == entry


def test_every_kind_has_a_vector() -> None:
    """A new entry is not forgotten above."""
    assert {type(entry) for entry, _ in VECTORS} == set(get_args(uplink.Entry))


def test_interrupts_alone_interrupt() -> None:
    """A queue of events keeps only the latest event that interrupts."""
    assert uplink.Interrupt().is_interrupt
    assert not uplink.Text("hello").is_interrupt


def test_a_report_without_its_connection() -> None:
    """The field is optional: the owner counts such reports as one viewer's."""
    assert uplink.decode({b"k": b"playback", b"t": b"2", b"s": b"started", b"p": b"9"}) == uplink.Playback(
        2, "started", 9
    )


@pytest.mark.parametrize(
    ("turn", "position_ms", "sent"), [(2**40, -5, (2**32 - 1, 0)), (3, 2**50, (3, 2**32 - 1))]
)
def test_a_reports_numbers_are_bounded(turn: int, position_ms: int, sent: tuple[int, int]) -> None:
    """What a viewer reports does not leave the range of a frame's fields."""
    fields = stored(uplink.Playback(turn, "started", position_ms).encode())

    assert (int(fields[b"t"]), int(fields[b"p"])) == sent


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"k": b"dance"},
        {b"k": b"speech", b"t": b"1", b"o": b"0"},
        {b"k": b"speech", b"t": b"-1", b"o": b"0", b"d": b""},
        {b"k": b"speech", b"t": b"4294967296", b"o": b"0", b"d": b""},
        {b"k": b"speech", b"t": b"9" * 30, b"o": b"0", b"d": b""},
        {b"k": b"interrupt", b"t": b"1_0", b"r": b"viewer"},
        {b"k": b"playback", b"t": b"1", b"s": b"paused", b"p": b"0"},
        {b"k": b"text", b"d": b"\xff"},
    ],
)
def test_what_is_no_entry_is_refused(fields: dict[bytes, bytes]) -> None:
    """An unknown kind, a missing field, a malformed one."""
    with pytest.raises(UplinkError, match="not an uplink entry"):
        uplink.decode(fields)


def test_an_unreadable_option_costs_no_audio() -> None:
    """A key or trace context that is malformed is left out."""
    fields = {b"k": b"speech", b"t": b"1", b"o": b"0", b"d": b"ab", b"key": b"\xff", b"traceparent": b"\xfe"}

    assert uplink.decode(fields) == uplink.SpeechChunk(1, 0, b"ab")


@pytest.mark.parametrize("field", [b"", b"\xff", b"\x91\x01", b"\x81\x01\x02"])
def test_unreadable_motion_costs_no_audio(field: bytes) -> None:
    """The chunk stays one of a clip, without motion: Motion Server is not asked in the middle of one."""
    fields = {b"k": b"speech", b"t": b"1", b"o": b"0", b"d": b"ab", b"m": field}

    assert uplink.decode(fields) == uplink.SpeechChunk(1, 0, b"ab", motion=())


FIELDS = st.one_of(st.binary(max_size=8), st.sampled_from([b"speech", b"playback", b"text", b"interrupt"]))


@given(st.dictionaries(st.sampled_from([b"k", b"t", b"o", b"d", b"s", b"p", b"r", b"m"]), FIELDS))
def test_any_fields_are_an_entry_or_refused(fields: dict[bytes, bytes]) -> None:
    """Garbage raises UplinkError and nothing else."""
    try:
        uplink.decode(fields)
    except UplinkError:
        return


@pytest.mark.parametrize(
    ("entry", "priority", "size_bytes"),
    [
        (uplink.Microphone(b"abcd"), Priority.AUDIO, 4),
        (uplink.Microphone(b"ab", end=True), Priority.REQUEST, 2),
        (uplink.Text("é"), Priority.REQUEST, 2),
        (uplink.ClipRequest("hello"), Priority.REQUEST, 5),
        (uplink.Interrupt(1, "viewer"), Priority.CONTROL, 0),
        (uplink.Playback(1, "started", 0), Priority.CONTROL, 0),
        (uplink.SpeechChunk(1, 0, b"abc"), Priority.CONTROL, 3),
        (uplink.SpeechChunk(1, 0, b"abc", motion=(b"de", b"f")), Priority.CONTROL, 6),
        (uplink.Close("deleted"), Priority.CONTROL, 0),
    ],
    ids=lambda part: getattr(part, "kind", ""),
)
def test_what_a_full_queue_drops(entry: uplink.Entry, priority: Priority, size_bytes: int) -> None:
    """Audio that more audio follows first, then requests; what controls the conversation never."""
    assert (entry.priority, entry.size_bytes) == (priority, size_bytes)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (uplink.Text("hi"), "requests"),
        (uplink.ClipRequest("hello"), "requests"),
        (uplink.Microphone(b"\x01\xff"), "always"),
        (uplink.Microphone(b"", end=True), ""),
        (uplink.Interrupt(1, "viewer"), ""),
        (uplink.Playback(1, "started", 0, "c1"), ""),
        (uplink.Close("deleted"), ""),
    ],
    ids=lambda part: getattr(part, "kind", None),
)
def test_which_talk_over_an_entry_interrupts_at(entry: uplink.Entry, expected: str) -> None:
    """Requests interrupt at ``requests`` and above, microphone audio at ``always`` alone, the rest never."""
    assert not isinstance(entry, uplink.SpeechChunk)
    assert entry.talks_over == expected
