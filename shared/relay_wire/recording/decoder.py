"""The decoder of recording files: bytes in, frames and gaps out, and at the end whether the file is whole."""

import hashlib
from collections.abc import Iterator

from relay_wire.frame import FrameError
from relay_wire.frame import decode as decode_frame
from relay_wire.position import START
from relay_wire.recording import contents
from relay_wire.recording.blocks import (
    PREAMBLE_BYTES,
    Block,
    BlockReader,
    BlockType,
    RecordingError,
    check_preamble,
    head,
)
from relay_wire.recording.contents import Gap, Header, Index

_OFFSET_BYTES = 8
_TRAILER_BYTES = _OFFSET_BYTES + 32


class RecordingDecoder:
    """Decodes one recording from bytes that arrive in pieces of any size.

    What ``feed`` yields is not verified before ``finish`` has returned: the checksum is the last of the file.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        """Known once its block was read."""
        self._preamble = b""
        self._reader = BlockReader(PREAMBLE_BYTES)
        self._sha256 = hashlib.sha256()
        self._index: Index | None = None
        self._index_at = 0
        self._is_whole = False
        self._last = START
        self._frames = self._frame_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes | Gap]:
        """Read the next bytes: yields the frames, as published, and the gaps that they complete, in order.

        Raises:
            RecordingError: The file is damaged, or is no recording.
        """
        if len(self._preamble) < PREAMBLE_BYTES:
            missing = PREAMBLE_BYTES - len(self._preamble)
            self._preamble, data = self._preamble + data[:missing], data[missing:]
            if len(self._preamble) < PREAMBLE_BYTES:
                return
            check_preamble(self._preamble)
            self._sha256.update(self._preamble)
        for block in self._reader.feed(data):
            item = self._read(block)
            if item is not None:
                yield item

    def finish(self) -> Index:
        """End the file. Returns its index.

        Raises:
            RecordingError: The file is cut short, or is no recording.
        """
        if len(self._preamble) < PREAMBLE_BYTES:
            raise RecordingError(f"this is not a recording: it has {len(self._preamble)} bytes")
        self._reader.finish()
        if self._index is None or not self._is_whole:
            raise RecordingError("the file is cut short: it has no trailer")
        return self._index

    def _read(self, block: Block) -> bytes | Gap | None:
        if self._is_whole:
            raise RecordingError(f"the file is damaged: bytes follow its trailer at byte {block.offset}")
        if self.header is None and block.type != BlockType.HEADER:
            raise RecordingError("the file is damaged: it does not begin with a header")
        if block.type == BlockType.TRAILER:
            self._check_trailer(block)
            return None
        self._sha256.update(head(block.type, len(block.body)))
        self._sha256.update(block.body)
        match block.type:
            case BlockType.HEADER:
                self.header = contents.decode(block.body, Header)
            case BlockType.FRAME:
                self._check_frame(block)
                return block.body
            case BlockType.GAP:
                return contents.decode(block.body, Gap)
            case BlockType.INDEX:
                self._index, self._index_at = contents.decode(block.body, Index), block.offset
        return None

    def _check_frame(self, block: Block) -> None:
        try:
            position = decode_frame(block.body).position
        except FrameError as error:
            raise RecordingError(f"the file is damaged: the frame at byte {block.offset}: {error}") from None
        if position <= self._last:
            raise RecordingError(f"the file is damaged: frame {position} follows {self._last}")
        self._last = position
        self._frames += 1
        self._frame_bytes += len(block.body)

    def _check_trailer(self, block: Block) -> None:
        index, body = self._index, block.body
        if index is None or len(body) != _TRAILER_BYTES:
            raise RecordingError("the file is damaged: its trailer does not follow its index")
        self._sha256.update(head(block.type, len(body)) + body[:_OFFSET_BYTES])
        if self._sha256.digest() != body[_OFFSET_BYTES:]:
            raise RecordingError("the file is damaged: its checksum is that of other bytes")
        at = int.from_bytes(body[:_OFFSET_BYTES], "big")
        counted = (self._frames, self._frame_bytes, str(self._last), self._index_at)
        if counted != (index.frames, index.frame_bytes, index.last, at):
            raise RecordingError("the file is damaged: its index is that of other frames")
        self._is_whole = True
