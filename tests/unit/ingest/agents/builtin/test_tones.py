"""Tones: a sound for each text, as long as the text and never silent."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.builtin.tones import TONE_MS, tones
from relay_wire.pcm import duration_ms


def loudest(pcm: bytes) -> int:
    return max(map(abs, struct.unpack(f"<{len(pcm) // 2}h", pcm)))


@given(st.text(max_size=40), st.sampled_from([8000, 16000, 24000, 48000]))
def test_any_text_is_audible(text: str, sample_rate: int) -> None:
    """Also an empty one, or one of spaces alone; the sound follows the length of the text."""
    pcm = b"".join(tones(text, sample_rate=sample_rate, longest_s=30))
    assert 6000 < loudest(pcm) <= 8000
    assert duration_ms(len(pcm), sample_rate) == max(4, len(text.strip())) * TONE_MS


def test_texts_differ() -> None:
    """In pitch by their characters; a space is a rest."""
    spoken = list(tones("ab c", sample_rate=16000, longest_s=30))
    assert len(set(spoken)) == 4
    assert [loudest(tone) == 0 for tone in spoken] == [False, False, True, False]


def test_a_tone_does_not_click() -> None:
    """It begins and ends at zero."""
    [tone, *_] = tones("a", sample_rate=16000, longest_s=30)
    samples = struct.unpack(f"<{len(tone) // 2}h", tone)
    assert samples[0] == samples[-1] == 0


@pytest.mark.parametrize(("longest_s", "expected"), [(0.6, 10), (0.01, 4)])
def test_the_longest(longest_s: float, expected: int) -> None:
    """A long text is cut; the shortest sound remains one."""
    assert len(list(tones("x" * 60_000, sample_rate=8000, longest_s=longest_s))) == expected
