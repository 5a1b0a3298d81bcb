"""Utterances: where recordings are cut, counted in samples, and what is no utterance."""

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.builtin.utterances import Utterances

RATE = 16_000
SECOND = 2 * RATE
MARGIN = SECOND // 5
WINDOW = SECOND // 50


def voice(seconds: float, rate: int = RATE, dbfs: float = -20) -> bytes:
    """A tone, which stands for a voice."""
    amplitude = 32768 * 10 ** (dbfs / 20) * math.sqrt(2)
    count = int(seconds * rate)
    return struct.pack(
        f"<{count}h",
        *(round(amplitude * math.sin(2 * math.pi * 300 * index / rate)) for index in range(count)),
    )


def noise(seconds: float, dbfs: float, seed: int = 7) -> bytes:
    """White noise with this level."""
    source, deviation, count = random.Random(seed), 32768 * 10 ** (dbfs / 20), int(seconds * RATE)
    return struct.pack(f"<{count}h", *(int(source.gauss(0, deviation)) for _ in range(count)))


def silence(seconds: float, rate: int = RATE) -> bytes:
    return bytes(2 * int(seconds * rate))


def utterances(*, rate: int = RATE, silence_s: float = 0.8, longest_s: float = 30.0) -> Utterances:
    return Utterances(sample_rate=rate, threshold_dbfs=-45, silence_s=silence_s, longest_s=longest_s)


VOICE = voice(1)


def test_silence_ends_an_utterance() -> None:
    """At 0.8 s of it, not before; the silence around it is cut off but for a margin."""
    recorder = utterances()
    assert list(recorder.add(silence(3) + VOICE + silence(0.78))) == []
    assert recorder.has_begun
    assert list(recorder.add(silence(0.02))) == [bytes(MARGIN) + VOICE + bytes(MARGIN)]
    assert not recorder.has_begun
    assert list(recorder.add(silence(60))) == []


def test_nothing_before_it_is_needed() -> None:
    """A client that sends while a button is held has no silence first."""
    assert list(utterances().add(VOICE + silence(1))) == [VOICE + bytes(MARGIN)]


def test_a_pause_ends_nothing() -> None:
    """Words are apart; a click in the silence makes it no shorter."""
    spoken = VOICE + silence(0.7) + VOICE
    [utterance] = utterances().add(spoken + silence(0.4) + voice(0.02) + silence(0.38))
    assert utterance == spoken + bytes(MARGIN)


def test_two_utterances_in_one_piece() -> None:
    """Each comes out, in order."""
    loud = voice(0.5, dbfs=-10)
    assert list(utterances().add(VOICE + silence(1) + loud + silence(1))) == [
        VOICE + bytes(MARGIN),
        bytes(MARGIN) + loud + bytes(MARGIN),
    ]


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
def test_pieces_of_any_length(sizes: list[int]) -> None:
    """The result is the same: time is counted in samples, and a piece may end in the middle of one."""
    audio, found = silence(0.5) + VOICE + silence(0.9), []
    recorder, at, index = utterances(), 0, 0
    while at < len(audio):
        size = sizes[index % len(sizes)]
        found += recorder.add(audio[at : at + size])
        at, index = at + size, index + 1
    assert found == [bytes(MARGIN) + VOICE + bytes(MARGIN)]


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_other_rates(rate: int) -> None:
    """A second is as many samples as the rate says."""
    recorder = utterances(rate=rate)
    assert list(recorder.add(silence(1, rate) + voice(1, rate) + silence(0.7, rate))) == []
    [utterance] = recorder.add(silence(0.14, rate))
    assert len(utterance) / 2 / rate == pytest.approx(1.4, abs=0.05)


@pytest.mark.parametrize(
    "audio",
    [silence(40), noise(40, -50), noise(40, -30), voice(0.04) + silence(2), (voice(0.04) + silence(0.3)) * 9],
    ids=["silence", "quiet", "loud", "a click", "clicks"],
)
def test_no_answer_to_noise(audio: bytes) -> None:
    """Neither while it lasts nor when audio stops arriving."""
    recorder = utterances()
    assert list(recorder.add(audio)) == []
    assert recorder.stop() == b""


def test_a_voice_in_a_noisy_room() -> None:
    """It is heard above the noise, and ends although the noise goes on."""
    recorder = utterances()
    assert list(recorder.add(noise(15, -30))) == []
    [utterance] = recorder.add(voice(2, dbfs=-10) + noise(1, -30))
    assert len(utterance) / SECOND == pytest.approx(2.4, abs=0.1)


def test_audio_that_stops() -> None:
    """What has been said is the utterance; without a voice there is none, twice neither."""
    recorder = utterances()
    assert recorder.stop() == b""
    assert list(recorder.add(silence(1) + VOICE + b"\x01")) == []
    assert recorder.stop() == bytes(MARGIN) + VOICE
    assert recorder.stop() == b""
    assert list(recorder.add(VOICE + silence(1))) == [VOICE + bytes(MARGIN)], "no half sample was left"


def test_a_marked_end() -> None:
    """At once, with the silence behind the voice, without that before it; then anew."""
    recorder = utterances()
    for _ in range(2):
        assert list(recorder.add(silence(1) + VOICE + silence(0.3))) == []
        assert recorder.finish() == bytes(MARGIN) + VOICE + silence(0.3)
    assert recorder.finish() == b""


def test_a_marked_end_without_a_voice() -> None:
    """The viewer knows better than the threshold: all of it, also less than a window of it."""
    recorder, whisper = utterances(), voice(1, dbfs=-55) + b"\x05\x06\x07"
    assert list(recorder.add(whisper)) == []
    assert recorder.finish() == whisper
    assert list(recorder.add(b"\x01\x02")) == []
    assert recorder.finish() == b"\x01\x02"


def test_an_end_marked_after_the_answer() -> None:
    """The silence has ended the utterance already: no second answer, unless there is another voice."""
    recorder = utterances()
    assert list(recorder.add(VOICE + silence(2) + b"\x00"))
    assert recorder.finish() == b""
    assert list(recorder.add(VOICE + silence(2) + VOICE))
    assert recorder.finish() == bytes(MARGIN) + VOICE
    assert list(recorder.add(silence(1))) == []
    assert recorder.finish() == silence(1), "the recording after a marked end is a new one"


def test_the_latest_of_a_long_recording() -> None:
    """Of a voice as of silence."""
    recorder = utterances(longest_s=0.5)
    assert list(recorder.add(VOICE + voice(1, dbfs=-10))) == []
    assert recorder.finish() == voice(1, dbfs=-10)[-SECOND // 2 :]
    assert list(recorder.add(silence(9))) == []
    assert recorder.finish() == silence(0.5)


def test_clearing() -> None:
    """What was recorded is no part of what follows."""
    recorder = utterances()
    assert list(recorder.add(VOICE)) == []
    recorder.clear()
    assert not recorder.has_begun
    assert list(recorder.add(silence(0.5) + voice(0.5) + silence(1))) == [
        bytes(MARGIN) + voice(0.5) + bytes(MARGIN)
    ]
