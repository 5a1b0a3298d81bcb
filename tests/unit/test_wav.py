"""WAV and raw PCM at the control door: what is taken, and what each refusal says."""

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_control.wav import samples_of
from relay_wire.pcm import chunks
from relay_wire.problems import Problem


def a_wav(pcm: bytes = bytes(3200), *, rate: int = 16000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(pcm)
    return file.getvalue()


def test_a_wav_is_its_samples() -> None:
    """Header off, samples untouched."""
    pcm = bytes(range(256)) * 2

    assert samples_of(a_wav(pcm), "audio/wav", 16000) == pcm


@pytest.mark.parametrize("content_type", ["audio/pcm", "audio/l16", "application/octet-stream"])
def test_raw_pcm_is_taken_as_it_is(content_type: str) -> None:
    """The conversation's rate is taken for granted."""
    assert samples_of(b"\x01\x02", content_type, 16000) == b"\x01\x02"


def test_a_streamed_wav_without_sizes() -> None:
    """Tools that write to a pipe leave the sizes open: the samples are what follows."""
    wav = bytearray(a_wav(b"\x01\x02" * 100))
    wav[4:8] = wav[40:44] = struct.pack("<I", 0xFFFFFFFF)

    assert samples_of(bytes(wav), "audio/wav", 16000) == b"\x01\x02" * 100


@pytest.mark.parametrize(
    ("body", "content_type", "name", "says"),
    [
        (b"", "audio/wav", "empty-audio", "send a WAV"),
        (b"", "audio/pcm", "empty-audio", "at least one sample"),
        (a_wav(b""), "audio/wav", "empty-audio", "at least one sample"),
        (b"not a wav at all", "audio/wav", "not-a-wav", "not a PCM WAV"),
        (b"RIFF", "audio/wav", "not-a-wav", "not a PCM WAV"),
        (a_wav(channels=2), "audio/wav", "unsupported-audio", "send mono"),
        (a_wav(width=1), "audio/wav", "unsupported-audio", "8-bit"),
        (a_wav(width=3, pcm=bytes(300)), "audio/wav", "unsupported-audio", "24-bit"),
        (a_wav(rate=12345), "audio/wav", "unsupported-audio", "12345 Hz"),
        (a_wav(rate=24000), "audio/wav", "unsupported-audio", "nothing resamples"),
        (b"\x01\x02\x03", "audio/pcm", "unsupported-audio", "not whole 16-bit samples"),
        (b"\x01\x02", "audio/mpeg", "unsupported-media", "audio/mpeg"),
    ],
)
def test_refusals(body: bytes, content_type: str, name: str, says: str) -> None:
    """Each names what is wrong and what to send instead."""
    with pytest.raises(Problem) as refused:
        samples_of(body, content_type, 16000)

    assert refused.value.kind.name == name
    assert says in refused.value.detail


@given(st.binary(max_size=200), st.booleans())
def test_any_body_is_audio_or_refused(body: bytes, riff: bool) -> None:  # noqa: FBT001
    """Garbage raises Problem and nothing else."""
    if riff:
        body = a_wav(bytes(8))[:44] + body
    try:
        samples_of(body, "audio/wav", 16000)
    except Problem:
        return


@given(st.binary(max_size=500), st.integers(1, 64))
def test_chunks_are_the_whole(pcm: bytes, size: int) -> None:
    """Cut anywhere, nothing is lost."""
    pieces = chunks(pcm, size)

    assert b"".join(pieces) == pcm
    assert all(len(piece) <= size for piece in pieces)
