"""Tones: a sound for a text, without a synthesiser. Pure."""

import math
import struct
from collections.abc import Iterator
from functools import lru_cache

TONE_MS = 60
"""The length of a character's tone: a voice reads about as fast."""
_FADE_MS = 5
"""The rise and the fall of a tone, without which it clicks."""
_LEAST = 4
"""The tones of the shortest text."""
_LEVEL = 8000
_LOWEST_HZ = 330.0
_SCALE = (0, 2, 4, 7, 9)
"""Semitones above the lowest tone: any two of a pentatonic scale sound well together."""


def tones(text: str, *, sample_rate: int, longest_s: float) -> Iterator[bytes]:
    """The PCM of a text, a tone for each character and a rest for each space, never only rests.

    Args:
        text: The text.
        sample_rate: Of the PCM, in Hz.
        longest_s: Where a longer sound is cut, in seconds.
    """
    characters = text.strip().ljust(_LEAST, "~")
    for character in characters[: max(_LEAST, int(longest_s * 1000 / TONE_MS))]:
        yield _tone(None if character.isspace() else ord(character) % len(_SCALE), sample_rate)


@lru_cache(maxsize=64)
def _tone(note: int | None, sample_rate: int) -> bytes:
    count, fade = sample_rate * TONE_MS // 1000, sample_rate * _FADE_MS // 1000
    if note is None:
        return bytes(2 * count)
    step = 2 * math.pi * _LOWEST_HZ * 2 ** (_SCALE[note] / 12) / sample_rate
    return struct.pack(
        f"<{count}h",
        *(
            round(_LEVEL * min(1.0, index / fade, (count - 1 - index) / fade) * math.sin(step * index))
            for index in range(count)
        ),
    )
