"""PCM: the avatar's audio, mono signed 16-bit little-endian samples at one of seven rates."""

BYTES_PER_SAMPLE = 2
SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Rates that Motion Server accepts; the relay does not resample (facts 3)."""


class AudioError(ValueError):
    """Raised when bytes are not audio that can be published.

    Args:
        text: The reason, and how to correct it.
        facts: Numbers of the audio, by name.
    """

    def __init__(self, text: str, **facts: int) -> None:
        super().__init__(text)
        self.facts = facts


class Unsupported(AudioError):
    """Raised when audio has channels, bits, a rate or an encoding that is not supported."""


def duration_ms(size_bytes: int, sample_rate: int) -> int:
    """The duration of this many bytes, in whole milliseconds, rounded down."""
    return size_bytes * 1000 // (sample_rate * BYTES_PER_SAMPLE)


def chunk_bytes(duration_ms: int, sample_rate: int) -> int:
    """The bytes of this duration, in whole samples, at least one."""
    return max(1, sample_rate * duration_ms // 1000) * BYTES_PER_SAMPLE


def chunks(pcm: bytes, size_bytes: int) -> list[bytes]:
    """Cut PCM into pieces of this size, the last maybe shorter."""
    return [pcm[start : start + size_bytes] for start in range(0, len(pcm), size_bytes)]


def check_rate(rate: int, expected: int | None) -> None:
    """Compare the rate of audio with a conversation's; None stands for any supported rate.

    Raises:
        Unsupported: The rate is another.
    """
    if rate not in SAMPLE_RATES:
        raise Unsupported(f"{rate} Hz: the avatar speaks at {SAMPLE_RATES}", sample_rate=rate)
    if expected not in (None, rate):
        raise Unsupported(
            f"{rate} Hz, but the conversation was created for {expected} Hz and nothing resamples",
            sample_rate=rate,
        )
