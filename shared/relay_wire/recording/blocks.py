r"""Blocks: what a recording file consists of, behind its preamble.

Layout, big-endian:

======  =====  ==============================================================
bytes   type   field
======  =====  ==============================================================
8       magic  ``\x89AVREC\r\n``: the preamble of a file, with the version
2       u16    version = 1
======  =====  ==============================================================

Then blocks up to the end, each of them

======  =====  ==============================================================
1       u8     type: 1 header, 2 frame, 3 gap, 4 index, 5 trailer
4       u32    bytes of the body
n              body
======  =====  ==============================================================

A part, the unit in which a running conversation is copied, is a series of frame blocks without a preamble.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from relay_wire.frame import HEADER_BYTES, MAX_FRAME_BYTES

MAGIC: Final = b"\x89AVREC\r\n"
VERSION: Final = 1
_PREAMBLE: Final = struct.Struct(">8sH")
PREAMBLE_BYTES: Final = _PREAMBLE.size
_HEAD: Final = struct.Struct(">BI")
HEAD_BYTES: Final = _HEAD.size
MAX_INDEX_BYTES: Final = 256 * 1024 * 1024
"""The largest body: a damaged length must not make a reader wait for more."""


class BlockType(IntEnum):
    """What a block's body is."""

    HEADER = 1
    """JSON: the conversation."""
    FRAME = 2
    """One frame as published, byte for byte."""
    GAP = 3
    """JSON: frames that are missing here."""
    INDEX = 4
    """JSON: where turns and times begin."""
    TRAILER = 5
    """The offset of the index (u64), and the SHA-256 of every byte of the file before the digest."""


class RecordingError(ValueError):
    """Raised when bytes are not a recording, or a damaged one. The text names the place."""


class Block(NamedTuple):
    """One block."""

    type: int
    """A ``BlockType``, or a number that a later version gave a meaning to: readers skip it."""
    body: bytes
    offset: int
    """Bytes before it."""


def preamble() -> bytes:
    """The first bytes of a file."""
    return _PREAMBLE.pack(MAGIC, VERSION)


def check_preamble(data: bytes) -> None:
    """Check the first ``PREAMBLE_BYTES`` of a file.

    Raises:
        RecordingError: It is no recording, or one of another version.
    """
    magic, version = _PREAMBLE.unpack(data)
    if magic != MAGIC:
        raise RecordingError("this is not a recording: it does not begin with the bytes of an .avrec file")
    if version != VERSION:
        raise RecordingError(f"this is a recording of version {version}, and only {VERSION} can be read here")


def head(kind: int, size_bytes: int) -> bytes:
    """The bytes before a body."""
    return _HEAD.pack(kind, size_bytes)


def block(kind: int, body: bytes) -> bytes:
    """A whole block."""
    return _HEAD.pack(kind, len(body)) + body


def part(frames: Iterable[bytes]) -> bytes:
    """The bytes of a part with these frames."""
    return b"".join(block(BlockType.FRAME, frame) for frame in frames)


class BlockReader:
    """Reads blocks from bytes that arrive in pieces of any size.

    Args:
        offset: Bytes of the file before the first piece.
    """

    def __init__(self, offset: int = 0) -> None:
        self._offset = offset
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Block]:
        """Read the blocks that the next bytes complete. Exhaust the iterator before the next call.

        Raises:
            RecordingError: A length is impossible: the file is damaged.
        """
        self._data = self._data + data if self._data else data
        at, end = 0, len(self._data)
        while end - at >= HEAD_BYTES:
            kind, size = _HEAD.unpack_from(self._data, at)
            self._check(kind, size)
            if end - at - HEAD_BYTES < size:
                break
            body = self._data[at + HEAD_BYTES : at + HEAD_BYTES + size]
            yield Block(kind, body, self._offset)
            at += HEAD_BYTES + size
            self._offset += HEAD_BYTES + size
        self._data = self._data[at:]

    def finish(self) -> None:
        """End the bytes.

        Raises:
            RecordingError: They end within a block.
        """
        if self._data:
            raise RecordingError(
                f"the file is cut short: the block at byte {self._offset} has only {len(self._data)} bytes"
            )

    def _check(self, kind: int, size: int) -> None:
        sizes = (
            range(HEADER_BYTES, MAX_FRAME_BYTES + 1) if kind == BlockType.FRAME else range(MAX_INDEX_BYTES)
        )
        if size not in sizes:
            raise RecordingError(
                f"the file is damaged: the block at byte {self._offset} declares {size} bytes"
            )
