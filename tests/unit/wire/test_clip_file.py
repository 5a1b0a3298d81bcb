"""Clip files: what is written is read, and nothing else is."""

import hashlib

import pytest

from relay_wire.clip_file import ClipFile, ClipFileError
from relay_wire.clips import ClipChunk

CHUNKS = [ClipChunk(b"aa", (b"1", b"2")), ClipChunk(b"b", (b"3",))]
FILE = ClipFile(
    id="clip-1", creator="app1", avatar_id="ava", sample_rate=16000, digest="d", chunk_bytes=2, chunks=CHUNKS
)  # fmt: skip


def test_a_file_is_read_as_it_was_written() -> None:
    """Every field, and the chunks byte for byte."""
    read = ClipFile.decode(FILE.encode())

    assert read.clip_chunks == CHUNKS
    assert (read.id, read.creator, read.avatar_id, read.sample_rate, read.digest, read.chunk_bytes) == (
        "clip-1", "app1", "ava", 16000, "d", 2,
    )  # fmt: skip


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda _: b""])
def test_a_damaged_file_is_none(damage) -> None:
    """A byte more, less or another one is found by the checksum."""
    with pytest.raises(ClipFileError, match="damaged"):
        ClipFile.decode(damage(FILE.encode()))


def test_a_file_of_another_version_is_none() -> None:
    """Its checksum is right, and fields are missing."""
    body = b"\x80"
    with pytest.raises(ClipFileError, match="version"):
        ClipFile.decode(b"avclip1\n" + hashlib.sha256(body).digest() + body)
