"""Voice activity: what counts as a voice, before and after the noise of the room is known."""

import math
import random
import struct

import pytest

from relay_ingest.agents.builtin.voice_activity import WINDOW_MS, VoiceActivity, rms

SAMPLES = 16_000 * WINDOW_MS // 1000
TEN_SECONDS = 10_000 // WINDOW_MS


def tone(dbfs: float) -> bytes:
    """A window of a tone with this level."""
    amplitude = 32768 * 10 ** (dbfs / 20) * math.sqrt(2)
    return struct.pack(
        f"<{SAMPLES}h", *(round(amplitude * math.sin(math.pi * index / 16)) for index in range(SAMPLES))
    )


@pytest.mark.parametrize("dbfs", [-60.0, -20.0, -10.0])
def test_the_level(dbfs: float) -> None:
    """In dB relative to full scale, within half a dB."""
    assert 20 * math.log10(rms(tone(dbfs)) / 32768) == pytest.approx(dbfs, abs=0.5)


def test_a_constant_offset_is_silent() -> None:
    """Cheap microphones have one."""
    assert rms(struct.pack("<4h", 900, 900, 900, 900)) == 0
    assert rms(struct.pack("<4h", 901, 899, 901, 899)) == 1
    assert rms(struct.pack("<2h", -32768, 32767)) == pytest.approx(32767.5)


def test_the_threshold() -> None:
    """Louder than it is a voice, from the first window on."""
    activity = VoiceActivity(-45)
    assert activity.is_voice(activity.measure(tone(-40)))
    assert not activity.is_voice(activity.measure(tone(-50)))
    assert not activity.is_voice(activity.measure(bytes(2 * SAMPLES)))


def test_a_noisy_room() -> None:
    """Within ten seconds its noise is known: it is no voice, and a voice above it is one."""
    activity, noise = VoiceActivity(-45), random.Random(7)
    levels = [activity.measure(tone(-30 + noise.uniform(-1, 1))) for _ in range(TEN_SECONDS)]
    assert not any(map(activity.is_voice, levels))
    assert activity.is_voice(activity.measure(tone(-18)))


def test_pauses_keep_a_voice_a_voice() -> None:
    """However long somebody talks, the noise is that of the pauses."""
    activity = VoiceActivity(-45)
    for second in range(30):
        for index in range(1000 // WINDOW_MS):
            level = activity.measure(tone(-60 if index < 3 else -20))
            assert activity.is_voice(level) == (index >= 3), (second, index)
