"""Audio of a request, as PCM or as Ogg Opus, cut by its duration.

Nothing is decoded. The duration of PCM is its number of samples. Ogg Opus contains its length: each page
carries its granule position, the samples at 48 kHz up to its end, and the header the samples to skip (RFC
7845).
"""

import struct
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol

from relay_wire.pcm import SAMPLE_RATES, chunk_bytes, duration_ms


class AudioFormat(StrEnum):
    """The formats that Motion Server accepts, by the SDK's names."""

    PCM = "pcm_s16le"
    OGG_OPUS = "ogg_opus"


RATES = {AudioFormat.PCM: SAMPLE_RATES, AudioFormat.OGG_OPUS: (8000, 12000, 16000, 24000, 48000)}
"""The sample rates of each format; an Opus encoder has rates of its own (facts 3)."""

_PAGE_HEADER = struct.Struct("<4sBBqIIIB")
_CAPTURE = b"OggS"
_OPUS_HEAD = struct.Struct("<8sBBH")
_NO_PACKET_ENDS = -1
_TICKS_PER_MS = 48
_LONGEST_PACKET = 120 * _TICKS_PER_MS


class UnreadableAudio(ValueError):
    """Raised when audio is not in the format that the session was configured with."""


class Stretch(NamedTuple):
    """A piece of a request's audio."""

    data: bytes
    duration_ms: int


class Audio(Protocol):
    """Audio of one request, of which no motion has been generated."""

    def add(self, data: bytes) -> None:
        """Append bytes, cut anywhere.

        Raises:
            UnreadableAudio: They are not in this format.
        """

    def cut(self, duration_ms: int) -> Stretch | None:
        """Remove and return the first ``duration_ms`` milliseconds; None when there are fewer."""

    def rest(self) -> Stretch:
        """Remove and return all audio."""


class Pcm:
    """Mono samples of 16 bits at one rate. An ``Audio``."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._waiting = bytearray()

    def add(self, data: bytes) -> None:
        """Append bytes, cut anywhere."""
        self._waiting += data

    def cut(self, duration_ms: int) -> Stretch | None:
        """Remove and return the first ``duration_ms`` milliseconds; None when there are fewer."""
        size_bytes = chunk_bytes(duration_ms, self._sample_rate)
        return self._pop(size_bytes) if len(self._waiting) >= size_bytes else None

    def rest(self) -> Stretch:
        """Remove and return all audio."""
        return self._pop(len(self._waiting))

    def _pop(self, size_bytes: int) -> Stretch:
        data = bytes(self._waiting[:size_bytes])
        del self._waiting[:size_bytes]
        return Stretch(data, duration_ms(size_bytes, self._sample_rate))


class _Page(NamedTuple):
    data: bytes
    body: bytes
    granule: int
    segments: int


class OggOpus:
    """One logical stream of Opus in Ogg pages. An ``Audio``: cut at pages, counted by granule positions."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._pages: deque[tuple[bytes, int]] = deque()
        self._pre_skip: int | None = None
        self._granule = self._end = self._popped = 0

    def add(self, data: bytes) -> None:
        """Append bytes, cut anywhere.

        Raises:
            UnreadableAudio: They are no Ogg pages, the first one has no Opus header, or one claims more
                samples than its packets can hold.
        """
        self._unread += data
        for page in self._whole_pages():
            if self._pre_skip is None:
                self._granule = self._pre_skip = _pre_skip(page.body)
            elif page.granule != _NO_PACKET_ENDS:
                self._advance(page, self._pre_skip)
            self._pages.append((page.data, self._end))

    def cut(self, duration_ms: int) -> Stretch | None:
        """Remove and return the pages that begin in the first ``duration_ms`` milliseconds, or None."""
        until = self._popped + duration_ms * _TICKS_PER_MS
        return self._pop(until) if self._end >= until else None

    def rest(self) -> Stretch:
        """Remove and return all whole pages."""
        stretch = self._pop(self._end)
        return Stretch(stretch.data + b"".join(self._left()), stretch.duration_ms)

    def _advance(self, page: _Page, pre_skip: int) -> None:
        if page.granule - self._granule > page.segments * _LONGEST_PACKET:
            raise UnreadableAudio(f"an Ogg page's granule position jumps to {page.granule}")
        self._granule = max(self._granule, page.granule)
        self._end = self._granule - pre_skip

    def _pop(self, until: int) -> Stretch:
        data, reached = bytearray(), self._popped
        while self._pages and reached < until:
            page, reached = self._pages.popleft()
            data += page
        duration_ms = (until - self._popped) // _TICKS_PER_MS
        self._popped = until
        return Stretch(bytes(data), duration_ms)

    def _left(self) -> Iterator[bytes]:
        while self._pages:
            yield self._pages.popleft()[0]

    def _whole_pages(self) -> Iterator[_Page]:
        while len(self._unread) >= _PAGE_HEADER.size:
            capture, version, _, granule, _, _, _, segments = _PAGE_HEADER.unpack_from(self._unread)
            if capture != _CAPTURE or version != 0:
                raise UnreadableAudio("the audio is not a sequence of Ogg pages")
            start = _PAGE_HEADER.size + segments
            end = start + sum(self._unread[_PAGE_HEADER.size : start])
            if len(self._unread) < end:
                return
            data = bytes(self._unread[:end])
            del self._unread[:end]
            yield _Page(data, data[start:], granule, segments)


def audio(audio_format: AudioFormat, sample_rate: int) -> Audio:
    """Create the empty audio of a request."""
    return Pcm(sample_rate) if audio_format is AudioFormat.PCM else OggOpus()


def _pre_skip(packet: bytes) -> int:
    if len(packet) < _OPUS_HEAD.size or packet[:8] != b"OpusHead":
        raise UnreadableAudio("the first Ogg page has no OpusHead")
    pre_skip: int = _OPUS_HEAD.unpack_from(packet)[3]
    return pre_skip
