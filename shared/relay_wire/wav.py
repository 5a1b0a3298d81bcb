"""WAV: the samples of RIFF files as synthesisers write them, read piece by piece.

The reader is one pass over the bytes, with a limit on chunks, so that its time is linear in them. It accepts

- sizes that were never filled in: a ``data`` size of 0 or from 0x7F000000 on means that the samples extend to
  the end, and so does a size that is not reached in a file whose RIFF size ends before its samples;
- concatenated files of one format, several ``data`` chunks, other chunks before and behind them;
- chunks of odd size with their padding and without;
- WAVE_FORMAT_EXTENSIBLE, and samples of 9 to 16 valid bits in 16.

Any other file is refused with the reason, also one that is shorter than its header declares.
"""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from relay_wire.pcm import BYTES_PER_SAMPLE, AudioError, Unsupported, check_rate

MOST_CHUNKS = 16_384
"""Chunks in all files together; more are refused."""
_PLACEHOLDER = 0x7F000000
"""From here on a ``data`` size means that its writer could not know it."""
_LARGEST_FORMAT = 1024
_BIT_RANGE = range(9, 17)
"""Valid bits of a supported sample; they are the upper ones of its 16."""
_HEADER = re.compile(rb"RIFF.{4}WAVEfmt ", re.DOTALL)
_HEADER_BYTES = 16
_NAME = re.compile(rb"[ -~]{4}")
_AFTER_DATA = frozenset(
    (b"RIFF", b"LIST", b"data", b"fact", b"PEAK", b"cue ", b"smpl", b"bext", b"iXML", b"id3 ", b"ID3 ",
     b"JUNK", b"PAD ", b"C2PA", b"afsp", b"acid")
)  # fmt: skip
"""Chunks behind an empty ``data`` chunk: they distinguish it from one whose size was never filled in."""
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_ENCODINGS = {
    0x0002: "ADPCM", 0x0003: "float", 0x0006: "A-law", 0x0007: "mu-law", 0x0011: "IMA ADPCM", 0x0031: "GSM",
    0x0055: "MP3",
}  # fmt: skip
_GUID = bytes.fromhex("000000001000800000aa00389b71")
"""The bytes after the encoding in the subformat of WAVE_FORMAT_EXTENSIBLE."""
_OTHERS = {b"RF64": "an RF64 file", b"BW64": "a BW64 file", b"RIFX": "a big-endian RIFX file"}
_REMEDY = "send 16-bit mono PCM in a RIFF WAV file"


_LARGEST_DATA = 0xFFFF_FFFF - 36
"""The most bytes of samples whose size fits a header."""


class NotAWav(AudioError):
    """Raised when bytes are not a whole WAV file, or a WAV file of another encoding than PCM."""


class Format(NamedTuple):
    """The content of the ``fmt`` chunk."""

    channels: int
    sample_rate: int
    bits: int
    sample_bytes: int


def header(sample_rate: int, data_bytes: int) -> bytes:
    """The 44 bytes before the samples of a mono 16-bit file.

    Beyond 4 GiB the sizes are those of a file whose writer could not know them: readers read up to the end.
    """
    size = min(data_bytes, _LARGEST_DATA)
    layout = (b"RIFF", size + 36, b"WAVE", b"fmt ", 16, _PCM, 1, sample_rate)
    rest = (sample_rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 8 * BYTES_PER_SAMPLE, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *layout, *rest)


class WavReader:
    """Reads the samples of one WAV file, or of several that are concatenated.

    Args:
        sample_rate: The only accepted rate; None: every supported rate.
    """

    def __init__(self, sample_rate: int | None = None) -> None:
        self.format: Format | None = None
        """Known once its chunk was read."""
        self._sample_rate = sample_rate
        self._step: Callable[[], bool] = self._read_riff
        self._bytes = b""
        self._at = 0
        self._before = 0
        self._samples: list[memoryview] = []
        self._chunks = 0
        self._file_at = 0
        self._file_bytes = 0
        self._size = 0
        self._left: int | None = 0
        self._has_data = False
        self._unfinished = False
        self._data_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Read the next bytes; returns the samples in them.

        Raises:
            AudioError: The file is not supported. Do not use the reader any more.
        """
        self._bytes = self._bytes + data if self._bytes else data
        while self._step():
            pass
        return self._read_samples()

    def finish(self) -> bytes:
        """End the file; returns its samples that were not returned yet.

        Raises:
            AudioError: The file is shorter than its header declares, or has no samples.
        """
        rest = len(self._bytes)
        if self._step in (self._read_data, self._read_unsized_data):
            self._consume(rest)
            self._check_size()
        elif self._step == self._skip and self._left and self._left > 1:
            raise NotAWav(f"the file ends {self._left} bytes before its last chunk does: it was cut short")
        elif self._step in (self._read_riff, self._read_format) or not self._has_data:
            raise NotAWav("the bytes are not a PCM WAV file: it ends before its samples begin")
        return self._read_samples()

    def _read_samples(self) -> bytes:
        given = b"".join(self._samples)
        self._samples = []
        self._before += self._at
        self._bytes = self._bytes[self._at :]
        self._at = 0
        return given

    # --- steps: each returns whether there may be more to read ------------------------------------

    def _read_riff(self) -> bool:
        header = self._peek(12)
        if header is None:
            if self._bytes[self._at :][:4] not in (b"RIFF"[: len(self._bytes) - self._at], *_OTHERS):
                raise NotAWav(f"the bytes are not a PCM WAV file: {_REMEDY}")
            return False
        kind, size, form = struct.unpack("<4sI4s", header)
        if kind in _OTHERS:
            raise NotAWav(f"this is {_OTHERS[kind]}: {_REMEDY}")
        if kind != b"RIFF" or form != b"WAVE":
            raise NotAWav(f"the bytes are not a PCM WAV file: {_REMEDY}")
        self._file_at = self._before + self._at
        self._file_bytes = size + 8
        self._has_data = False
        self._at += 12
        return self._continue_with(self._read_chunk)

    def _read_chunk(self) -> bool:
        header = self._peek(8)
        if header is None:
            return False
        name, size = struct.unpack("<4sI", header)
        self._chunks += 1
        if self._chunks > MOST_CHUNKS:
            raise NotAWav(f"the file has more than {MOST_CHUNKS} chunks: {_REMEDY}")
        if name == b"RIFF" and self._has_data:
            return self._continue_with(self._read_riff)
        if not _NAME.fullmatch(name):
            raise self._no_chunk()
        self._at += 8
        self._size = self._left = size
        if name == b"fmt ":
            return self._continue_with(self._read_format)
        return self._begin_data(size) if name == b"data" else self._continue_with(self._skip)

    def _read_format(self) -> bool:
        if not _LARGEST_FORMAT >= self._size >= 16:
            raise NotAWav(f"the bytes are not a PCM WAV file: its format has {self._size} bytes")
        fields = self._peek(self._size)
        if fields is None:
            return False
        found = _format_of(fields)
        if self.format not in (None, found):
            raise Unsupported(f"the format changes within the audio, from {self.format} to {found}")
        self._check(found)
        self.format = found
        self._at += self._size
        return self._continue_with(self._skip_padding)

    def _skip(self) -> bool:
        left = self._left or 0
        skipped = min(left, len(self._bytes) - self._at)
        self._at += skipped
        self._left = left - skipped
        return not self._left and self._continue_with(self._skip_padding)

    def _skip_padding(self) -> bool:
        if self._size % 2:
            padding = self._peek(1)
            if padding is None:
                return False
            # No chunk's name begins with it: without the padding the next chunk stays whole.
            self._at += padding == b"\0"
        return self._continue_with(self._read_chunk)

    def _begin_data(self, size: int) -> bool:
        if self.format is None:
            raise NotAWav("the bytes are not a PCM WAV file: its samples come before their format")
        self._has_data = True
        self._data_bytes = 0
        self._unfinished = self._file_bytes <= self._before + self._at - self._file_at
        if size >= _PLACEHOLDER:
            self._left = None
        return self._continue_with(self._read_data if size else self._read_unsized_data)

    def _read_unsized_data(self) -> bool:
        name = self._peek(4)
        if name is None:
            return False
        if name in _AFTER_DATA:
            return self._end_data()
        self._left = None
        return self._continue_with(self._read_data)

    def _read_data(self) -> bool:
        there = len(self._bytes) - self._at
        size = there if self._left is None else min(self._left, there)
        joined = _HEADER.search(self._bytes, self._at, self._at + size)
        if joined:
            self._consume(joined.start() - self._at)
            self._check_size()
            return self._end_data()
        ends = size == self._left
        self._consume(size if ends else size - self._partial_header(size))
        return ends and self._end_data()

    def _end_data(self) -> bool:
        if self._data_bytes % BYTES_PER_SAMPLE:
            raise Unsupported(
                f"{self._data_bytes} bytes are not whole 16-bit samples", audio_bytes=self._data_bytes
            )
        return self._continue_with(self._skip_padding)

    # --- parts ------------------------------------------------------------------------------------

    def _continue_with(self, step: Callable[[], bool]) -> bool:
        self._step = step
        return True

    def _peek(self, size: int) -> bytes | None:
        found = self._bytes[self._at : self._at + size]
        return found if len(found) == size else None

    def _consume(self, size: int) -> None:
        self._samples.append(memoryview(self._bytes)[self._at : self._at + size])
        self._at += size
        self._data_bytes += size
        if self._left is not None:
            self._left -= size

    def _partial_header(self, size: int) -> int:
        """The bytes at the end that may begin the header of another file; they wait for the next bytes."""
        end = self._at + size
        for held in range(min(_HEADER_BYTES - 1, size), 0, -1):
            if self._bytes[end - held : end].startswith(b"RIFF"[:held]):
                return held
        return 0

    def _check_size(self) -> None:
        if self._left and not self._unfinished:
            raise NotAWav(
                f"the data chunk declares {self._size} bytes and has {self._data_bytes}: "
                "the file was cut short",
                expected_bytes=self._size,
                audio_bytes=self._data_bytes,
            )

    def _no_chunk(self) -> NotAWav:
        behind = len(self._bytes) - self._at
        if self._has_data:
            return NotAWav(
                f"{behind} bytes lie behind the data chunk and are neither a chunk nor another WAV file",
                behind_bytes=behind,
            )
        return NotAWav(f"the bytes are not a PCM WAV file: there is no chunk {behind} bytes before its end")

    def _check(self, found: Format) -> None:
        channels, rate, bits, sample_bytes = found
        if channels != 1:
            raise Unsupported(f"{channels} channels: send mono", channels=channels)
        if sample_bytes != BYTES_PER_SAMPLE or bits not in _BIT_RANGE:
            raise Unsupported(f"{bits}-bit samples in {sample_bytes} bytes: send 16-bit", bits=bits)
        check_rate(rate, self._sample_rate)


def _format_of(fields: bytes) -> Format:
    encoding, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fields)
    if encoding == _EXTENSIBLE and len(fields) >= 40 and fields[26:40] == _GUID:
        (encoding,) = struct.unpack_from("<H", fields, 24)
    if encoding != _PCM:
        name = _ENCODINGS.get(encoding, f"encoding {encoding:#06x}")
        raise NotAWav(f"the bytes are not a PCM WAV file, its samples are {name}: {_REMEDY}")
    # Some writers leave the size of a frame 0.
    sample_bytes = frame_bytes // channels if frame_bytes and channels else (bits + 7) // 8
    return Format(channels, rate, bits, sample_bytes)
