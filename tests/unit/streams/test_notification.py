"""Notifications: one vector for the decoder and for an encoder written after the layout."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_streams.notification import inline_entries

VECTOR = (
    b"7-1\t\x03\x00\x00\x00\x00\x00\x057-2frame\x03\x00\x02\x00\x00\x00\x017-3ttf"
    b"\x03\x00\x06\x00\x00\x00\x017-4tt v=1 "
)
ENTRIES = [
    (b"7-2", (b"f", b"frame")),
    (b"7-3", (b"f", b"f", b"traceparent", b"tt")),
    (b"7-4", (b"f", b" ", b"traceparent", b"tt", b"tracestate", b"v=1")),
]

Packed = list[tuple[bytes, bytes, bytes]]


def encode(before: bytes, entries: Packed) -> bytes:
    """As publish.lua packs id, trace and frame."""
    packed = (struct.pack(">BHI", *map(len, entry)) + b"".join(entry) for entry in entries)
    return before + b"\t" + b"".join(packed)


def test_the_vector() -> None:
    """Encoder and decoder agree on these bytes."""
    assert (
        encode(b"7-1", [(b"7-2", b"", b"frame"), (b"7-3", b"tt", b"f"), (b"7-4", b"tt v=1", b" ")]) == VECTOR
    )
    assert inline_entries(VECTOR, b"7-1") == ENTRIES


@pytest.mark.parametrize("cursor", [b"7-0", b"7-", b"7-11", b""])
def test_entries_that_follow_another(cursor: bytes) -> None:
    """A subscription elsewhere reads instead."""
    assert not inline_entries(VECTOR, cursor)


def test_a_notification_without_entries() -> None:
    """It states only that the stream has new entries."""
    assert not inline_entries(b"", b"7-1")


@pytest.mark.parametrize("length", range(5, len(VECTOR)))
def test_a_cut_notification(length: int) -> None:
    """It yields whole entries or none, never a cut one."""
    assert inline_entries(VECTOR[:length], b"7-1") in ((), ENTRIES[:1], ENTRIES[:2])


@pytest.mark.parametrize("separator", [b"\n", b" ", b"-", b"1"])
def test_another_layout(separator: bytes) -> None:
    """A version with other lengths separates them otherwise: its frames are read from the stream."""
    assert not inline_entries(VECTOR.replace(b"\t", separator, 1), b"7-1")


def test_a_version_with_another_layout() -> None:
    """It looks for a line feed after its cursor, finds none here, and reads the stream."""
    assert VECTOR[len(b"7-1") : len(b"7-1") + 1] != b"\n"


_bytes = st.binary(max_size=40)
_trace = st.just(b"") | st.from_regex(rb"\A[0-9a-f-]{1,60}( [a-z=,]{1,400})?\Z")


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), _trace, _bytes), min_size=1, max_size=5))
def test_what_is_packed_is_unpacked(entries: Packed) -> None:
    """Any id, trace and frame."""
    assert inline_entries(encode(b"1-1", entries), b"1-1") == [
        (entry_id, (b"f", frame, *trace_fields(trace))) for entry_id, trace, frame in entries
    ]


def trace_fields(trace: bytes) -> list[bytes]:
    names = (b"traceparent", b"tracestate")
    return [part for pair in zip(names, trace.split(b" ", 1), strict=False) if pair[1] for part in pair]
