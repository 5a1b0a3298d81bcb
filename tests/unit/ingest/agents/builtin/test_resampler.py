"""The resampler: the same pitch and length at another rate."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.builtin.resampler import resampled
from relay_wire.pcm import SAMPLE_RATES, duration_ms


def sine(rate: int, seconds: float = 0.5, pitch: int = 440) -> bytes:
    count = int(rate * seconds)
    return struct.pack(
        f"<{count}h", *(int(8000 * math.sin(2 * math.pi * pitch * at / rate)) for at in range(count))
    )


@pytest.mark.parametrize("to", SAMPLE_RATES)
def test_the_pitch_is_kept(to: int) -> None:
    """Sample by sample it is the tone that would have been recorded at that rate, but for a small error."""
    result = resampled(sine(16_000), sample_rate=16_000, to=to)
    wanted = sine(to)
    assert len(result) == len(wanted)
    pairs = zip(*(struct.unpack(f"<{len(pcm) // 2}h", pcm) for pcm in (result, wanted)), strict=True)
    assert max(abs(one - other) for one, other in list(pairs)[:-4]) < 120


@given(st.binary(max_size=200), st.sampled_from(SAMPLE_RATES), st.sampled_from(SAMPLE_RATES))
def test_any_audio(pcm: bytes, sample_rate: int, to: int) -> None:
    """Whole samples, as long as before, never louder than it was."""
    result = resampled(pcm, sample_rate=sample_rate, to=to)
    assert len(result) % 2 == 0
    assert abs(duration_ms(len(result), to) - duration_ms(len(pcm), sample_rate)) <= 1
    if len(pcm) > 1:
        samples = struct.unpack(f"<{len(pcm) // 2}h", pcm[: len(pcm) // 2 * 2])
        assert all(
            min(samples) <= one <= max(samples) for one in struct.unpack(f"<{len(result) // 2}h", result)
        )


def test_the_same_rate_changes_nothing() -> None:
    assert resampled(sine(16_000), sample_rate=16_000, to=16_000) == sine(16_000)
