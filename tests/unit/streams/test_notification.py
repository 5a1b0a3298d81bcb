"""Notifications: one vector for the decoder and for an encoder written after the layout."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_streams.notification import inline_entries

VECTOR = b"7-1\n\x03\x00\x00\x00\x00\x057-2frame\x03\x02\x00\x00\x00\x017-3ttf"
ENTRIES = [(b"7-2", (b"f", b"frame")), (b"7-3", (b"f", b"f", b"traceparent", b"tt"))]

Packed = list[tuple[bytes, bytes, bytes]]


def encode(before: bytes, entries: Packed) -> bytes:
    """As publish.lua packs id, traceparent and frame."""
    packed = (struct.pack(">BBI", *map(len, entry)) + b"".join(entry) for entry in entries)
    return before + b"\n" + b"".join(packed)


def test_the_vector() -> None:
    """Encoder and decoder agree on these bytes."""
    assert encode(b"7-1", [(b"7-2", b"", b"frame"), (b"7-3", b"tt", b"f")]) == VECTOR
    assert inline_entries(VECTOR, b"7-1") == ENTRIES


@pytest.mark.parametrize("cursor", [b"7-0", b"7-", b"7-11", b""])
def test_entries_that_follow_another(cursor: bytes) -> None:
    """A subscription elsewhere reads instead."""
    assert not inline_entries(VECTOR, cursor)


def test_a_notification_without_entries() -> None:
    """It says only that the stream has moved."""
    assert not inline_entries(b"", b"7-1")


@pytest.mark.parametrize("length", range(5, len(VECTOR)))
def test_a_cut_notification(length: int) -> None:
    """It yields whole entries or none, never a cut one."""
    assert inline_entries(VECTOR[:length], b"7-1") in ((), ENTRIES[:1])


_bytes = st.binary(max_size=40)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), _bytes, _bytes), min_size=1, max_size=5))
def test_what_is_packed_is_unpacked(entries: Packed) -> None:
    """Any id, traceparent and frame."""
    assert inline_entries(encode(b"1-1", entries), b"1-1") == [
        (entry_id, (b"f", frame, *((b"traceparent", trace) if trace else ())))
        for entry_id, trace, frame in entries
    ]
