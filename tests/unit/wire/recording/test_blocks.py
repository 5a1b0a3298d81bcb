"""Blocks: a series of bytes, read in pieces of any size."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire.recording.blocks import (
    MAGIC,
    PREAMBLE_BYTES,
    BlockReader,
    BlockType,
    RecordingError,
    block,
    check_preamble,
    part,
    preamble,
)

bodies = st.tuples(st.sampled_from([1, 3, 4, 5, 200]), st.binary(max_size=60))


@given(st.lists(bodies, max_size=8), st.integers(1, 20))
def test_round_trip(written: list[tuple[int, bytes]], piece: int) -> None:
    """What was written is read, with its offset, whatever pieces it arrives in."""
    data = b"".join(block(*each) for each in written)
    reader = BlockReader()

    read = [found for at in range(0, len(data), piece) for found in reader.feed(data[at : at + piece])]
    reader.finish()

    assert [(found.type, found.body) for found in read] == written
    assert [data[found.offset] for found in read] == [kind for kind, _ in written]


def test_a_part_is_frame_blocks() -> None:
    """A part has no preamble, and its frames are read as they were given."""
    frames = [b"a" * 40, b"b" * 32]

    read = list(BlockReader().feed(part(frames)))

    assert [(found.type, found.body) for found in read] == [(BlockType.FRAME, data) for data in frames]


def test_an_end_within_a_block_is_an_error() -> None:
    """The place is named."""
    reader = BlockReader(100)
    assert list(reader.feed(block(3, b"whole") + b"\x03\x00")) != []

    with pytest.raises(RecordingError, match="at byte 110 has only 2 bytes"):
        reader.finish()


@pytest.mark.parametrize(("kind", "size"), [(2, 10), (2, 2**24), (1, 2**31), (9, 2**32 - 1)])
def test_an_impossible_length_is_an_error(kind: int, size: int) -> None:
    """A damaged length does not make the reader wait for gigabytes."""
    with pytest.raises(RecordingError, match="damaged"):
        list(BlockReader().feed(struct.pack(">BI", kind, size)))


def test_the_preamble() -> None:
    """Another file and another version are refused, each with its reason."""
    assert len(preamble()) == PREAMBLE_BYTES
    check_preamble(preamble())

    with pytest.raises(RecordingError, match="not a recording"):
        check_preamble(b"RIFF....WA")
    with pytest.raises(RecordingError, match="version 2"):
        check_preamble(MAGIC + b"\x00\x02")


def test_a_block_in_two_pieces() -> None:
    """It is read with its last byte, at the offset of its first."""
    data = block(200, b"body")
    reader = BlockReader(7)

    assert list(reader.feed(data[:-1])) == []
    [read] = reader.feed(data[-1:])

    assert (read.type, read.body, read.offset) == (200, b"body", 7)
