"""Clip files: a rendered clip as one file, with a checksum. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Self

import msgspec

from relay_wire.clips import ClipChunk

_MAGIC = b"avclip1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class ClipFileError(ValueError):
    """Raised when bytes are not a clip file, or a damaged one."""


class ClipFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip file has: all that the store has of a clip that is ready."""

    id: str
    creator: str
    """Id of the API key that created it."""
    avatar_id: str
    sample_rate: int
    digest: str
    """Of the request that created it."""
    chunk_bytes: int
    """Audio of each chunk, the last apart."""
    chunks: Sequence[tuple[bytes, tuple[bytes, ...]]]
    """Audio and motion."""

    @property
    def clip_chunks(self) -> list[ClipChunk]:
        """The chunks."""
        return [ClipChunk(*chunk) for chunk in self.chunks]

    def encode(self) -> bytes:
        """Write the file."""
        body = msgspec.msgpack.encode(self)
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a file.

        Raises:
            ClipFileError: It is none, or its checksum is another.
        """
        start = len(_MAGIC) + _DIGEST_BYTES
        body = data[start:]
        if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : start] != hashlib.sha256(body).digest():
            raise ClipFileError("not a clip file, or a damaged one")
        try:
            return msgspec.msgpack.decode(body, type=cls)
        except msgspec.DecodeError as error:
            raise ClipFileError(f"not a clip file of this version: {error}") from None
