"""Media types: those of PCM and WAV, and parameters that must match the conversation."""

import pytest
from tests.rigs.riff import PCM, riff

from relay_control.media import samples_of
from relay_wire.problems import Problem


@pytest.mark.parametrize(
    "content_type",
    [
        "audio/pcm", "AUDIO/PCM", "audio/L16", "application/octet-stream", "", "audio/pcm;rate=16000",
        "audio/L16;codec=pcm;rate=16000", "audio/L16; rate=16000; channels=1", "audio/pcm; charset=binary",
        ['audio/pcm;rate="16000"', "=signed-integer-not-known-here"][0],
        "audio/pcm;bits=16;endian=little", "audio/pcm; rate=16000.0", "audio/pcm;channels=1.0",
        "audio/pcm;Sampling-Rate=16000;bits_per_sample=16",
        "audio/pcm;encoding=signed-integer;format=pcm_s16le",
    ],
)  # fmt: skip
def test_media_types_of_pcm(content_type: str) -> None:
    """With parameters that suit, or none."""
    assert samples_of(b"\x01\x02", content_type, 16000) == b"\x01\x02"


@pytest.mark.parametrize(
    "content_type",
    [
        "audio/wav",
        "audio/x-wav",
        "audio/wave",
        "audio/vnd.wave",
        "audio/vnd.wav",
        "audio/x-pn-wav",
        "audio/wav;codecs=1",
    ],
)
def test_media_types_of_wav(content_type: str) -> None:
    """Every name it goes by."""
    assert samples_of(riff(), content_type, 16000) == PCM


@pytest.mark.parametrize(
    ("content_type", "name", "reason"),
    [
        ("audio/L16;codec=pcm;rate=24000", "unsupported-audio", "24000 Hz, but the conversation"),
        ("audio/pcm;rate=24000", "unsupported-audio", "nothing resamples"),
        ("audio/wav;rate=24000", "unsupported-audio", "nothing resamples"),
        ("audio/pcm;sample_rate=24000", "unsupported-audio", "nothing resamples"),
        ("audio/pcm;sampling_rate=24000", "unsupported-audio", "nothing resamples"),
        ("audio/pcm;sample-rate-hertz=24000.0", "unsupported-audio", "nothing resamples"),
        ("audio/pcm;bits-per-sample=8", "unsupported-audio", "bitspersample=8"),
        ("audio/pcm;byte_order=big", "unsupported-media", "endian=big"),
        ("audio/pcm;rate=1e999", "unsupported-media", "not a number"),
        ("audio/pcm;rate=\uff11\uff16\uff10\uff10\uff10", "unsupported-media", "not a number"),
        ("audio/pcm;rate=16_000", "unsupported-media", "not a number"),
        ("audio/pcm;rate=16001", "unsupported-audio", "16001 Hz"),
        ("audio/pcm;rate=fast", "unsupported-media", "rate=fast is not a number"),
        ("audio/pcm;rate=16000.5", "unsupported-media", "not a number"),
        ("audio/L16;rate=16000;channels=2", "unsupported-audio", "channels=2"),
        ("audio/pcm;bits=24", "unsupported-audio", "bits=24"),
        ("audio/pcm;codec=mulaw", "unsupported-media", "codec=mulaw"),
        ("audio/pcm;encoding=float", "unsupported-media", "codec=float"),
        ("audio/wav;codecs=7", "unsupported-media", "codec=7"),
        ("audio/pcm;endianness=big-endian", "unsupported-media", "endian=big-endian"),
        ("audio/mpeg", "unsupported-media", "audio/mpeg"),
        ("audio/L24", "unsupported-media", "audio/l24"),
        ("nonsense", "unsupported-media", "text/plain"),
        ("audio/pcm;\udcff", "unsupported-media", "send audio/wav"),
        ("audio/pcm;" + "x" * 1000, "unsupported-media", "send audio/wav"),
    ],
)
def test_media_types_that_do_not_suit(content_type: str, name: str, reason: str) -> None:
    """Their values bind: a wrong rate would be audible, and reported nowhere."""
    with pytest.raises(Problem) as refused:
        samples_of(PCM, content_type, 16000)
    assert refused.value.kind.name == name
    assert reason in refused.value.detail
