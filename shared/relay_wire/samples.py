"""Samples: extracts the PCM of speech, which is a WAV file or PCM itself, piece by piece."""

import re

from relay_wire import container
from relay_wire.pcm import BYTES_PER_SAMPLE, Unsupported
from relay_wire.wav import WavReader

_RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_HEADER = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_PART_BYTES = 11
"""The most bytes of an incomplete header."""


class SampleReader:
    """Reads one turn's audio. Data with a RIFF header is a WAV file; any other is PCM.

    Args:
        sample_rate: The conversation's rate; None: any rate, which only a WAV file declares.
        wav: Whether it must be a WAV file.
        begun: Whether the data continues PCM that was read before.
    """

    def __init__(self, sample_rate: int | None, *, wav: bool = False, begun: bool = False) -> None:
        self.odd = b""
        """The first byte of a sample whose second has not come."""
        self._sample_rate = sample_rate
        self._must_be_wav = wav
        self._wav: WavReader | None = None
        self._begun = begun
        self._head = b""
        self._part = b""
        """The end of the PCM so far, which may be the beginning of a header."""

    @property
    def sample_rate(self) -> int | None:
        """The rate, once it is known."""
        found = self._wav.format if self._wav else None
        return found.sample_rate if found else self._sample_rate

    def feed(self, data: bytes) -> bytes:
        """Read the next bytes; returns whole samples.

        Raises:
            AudioError: They are not supported audio. Do not use the reader any more.
        """
        return self._whole(self._samples(data, whole=False))

    def finish(self) -> bytes:
        """End the audio; returns its samples that were not returned yet.

        Raises:
            AudioError: A WAV file is shorter than its header declares, or has no samples.
        """
        samples = self._samples(b"", whole=True)
        return self._whole(samples + self._wav.finish() if self._wav else samples)

    def _samples(self, data: bytes, *, whole: bool) -> bytes:
        if self._wav is not None:
            return self._wav.feed(data)
        if self._begun:
            self._check_pcm(data)
            return data
        head = self._head + data
        kind = self._kind_of(head, whole=whole)
        if kind is None:
            self._head = head
            return b""
        self._head = b""
        if kind == "WAV" or (kind == "" and self._must_be_wav):
            self._wav = WavReader(self._sample_rate)
        elif kind:
            raise Unsupported(f"this is {kind}: {self._remedy}")
        else:
            self._begun = True
        return self._samples(head, whole=whole)

    def _check_pcm(self, data: bytes) -> None:
        """Refuse a WAV header in the middle of PCM, in one piece or in several."""
        part = self._part
        for offset, searched in ((-len(part), part + data[:_PART_BYTES]), (0, data)):
            if found := _HEADER.search(searched):
                at = max(0, offset + found.start())
                raise Unsupported(f"there is a WAV header {at} bytes into PCM: send one or the other")
        self._part = (part + data)[-_PART_BYTES:] if len(data) < _PART_BYTES else data[-_PART_BYTES:]

    def _kind_of(self, head: bytes, *, whole: bool) -> str | None:
        if head.startswith(_RIFF):
            return "WAV"
        if head and not whole and any(sign.startswith(head) for sign in _RIFF):
            return None
        return container.name_of(head, whole=whole)

    @property
    def _remedy(self) -> str:
        named = f" at {self._sample_rate} Hz (pcm_{self._sample_rate})" if self._sample_rate else ""
        return f"ask your TTS for 16-bit mono PCM{named}, or for a WAV file of it"

    def _whole(self, samples: bytes) -> bytes:
        if self.odd:
            samples = self.odd + samples
        whole = len(samples) - len(samples) % BYTES_PER_SAMPLE
        self.odd = samples[whole:]
        return samples[:whole]


def read(body: bytes, sample_rate: int | None, *, wav: bool = False) -> tuple[bytes, int | None]:
    """The samples of a whole body, and their rate.

    Raises:
        AudioError: It is not supported audio.
    """
    reader = SampleReader(sample_rate, wav=wav)
    samples = reader.feed(body) + reader.finish()
    if reader.odd:
        size = len(samples) + len(reader.odd)
        raise Unsupported(f"{size} bytes are not whole 16-bit samples", audio_bytes=size)
    return samples, reader.sample_rate
