"""The file of a recording: verified as a whole, then read again piece by piece."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from relay_wire.recording.blocks import RecordingError
from relay_wire.recording.contents import Gap, Header, Index
from relay_wire.recording.decoder import RecordingDecoder

_READ_BYTES = 1024 * 1024


class ReplayError(Exception):
    """Raised when a recording cannot be replayed; the text names the reason."""


class Verified(NamedTuple):
    """A recording that is whole."""

    header: Header
    contents: Index


def verify(path: Path) -> Verified:
    """Read a whole recording and compare its checksum. Blocks; holds a piece of it at a time.

    Raises:
        ReplayError: There is no such file, it is no recording, or it is damaged.
    """
    decoder = RecordingDecoder()
    try:
        for piece in _pieces(path):
            for _ in decoder.feed(piece):
                pass
        index = decoder.finish()
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror or error}") from None
    except RecordingError as error:
        raise ReplayError(f"{path}: {error}") from None
    assert decoder.header is not None  # noqa: S101  # a whole file begins with one
    return Verified(decoder.header, index)


def frames(path: Path) -> Iterator[bytes]:
    """The frames of a recording that was verified, in order. Blocks."""
    decoder = RecordingDecoder()
    for piece in _pieces(path):
        for item in decoder.feed(piece):
            if not isinstance(item, Gap):
                yield item


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece
