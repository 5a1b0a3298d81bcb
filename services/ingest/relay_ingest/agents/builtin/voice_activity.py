"""Voice activity: which windows of microphone audio are louder than the room. Pure."""

import math
import struct
from collections import deque

from relay_wire.pcm import BYTES_PER_SAMPLE

WINDOW_MS = 20
"""The length of a window: about one pitch period of a low voice, so that its level is steady."""
_FULL_SCALE = 32768
_NOISE_WINDOWS = 10_000 // WINDOW_MS
"""Speech has pauses within this many windows: the quietest of them has the level of the room's noise."""
_ABOVE_NOISE = 10 ** (9 / 20)
"""Speech is 9 dB louder than the noise."""


class VoiceActivity:
    """Compares the level of each window with a threshold, and with the noise of the last ten seconds.

    Args:
        threshold_dbfs: The level below which nothing is a voice, in dB relative to full scale.
    """

    def __init__(self, threshold_dbfs: float) -> None:
        self._threshold = _FULL_SCALE * 10 ** (threshold_dbfs / 20)
        self._levels = deque[float](maxlen=_NOISE_WINDOWS)

    def measure(self, window: bytes) -> float:
        """The level of the next window of audio, which counts for the noise from now on."""
        level = rms(window)
        self._levels.append(level)
        return level

    def is_voice(self, level: float) -> bool:
        """Whether a window of this level has a voice, as far as the noise is known now."""
        return level > max(self._threshold, self._noise * _ABOVE_NOISE)

    @property
    def _noise(self) -> float:
        # Until enough is known, the first words of a conversation must not count as noise.
        return min(self._levels) if len(self._levels) == _NOISE_WINDOWS else 0.0


def rms(pcm: bytes) -> float:
    """The root mean square of whole samples, without their mean: a constant offset is no sound."""
    count = len(pcm) // BYTES_PER_SAMPLE
    samples = struct.unpack(f"<{count}h", pcm)
    mean = sum(samples) / count
    return math.sqrt(max(sum(sample * sample for sample in samples) / count - mean * mean, 0.0))
