"""The simulator's audio: Ogg Opus has the duration of its pages, however it is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rigs.ogg_opus import PRE_SKIP, TICKS_PER_MS, headers, page, stream

from relay_simulator.audio import RATES, AudioFormat, OggOpus, UnreadableAudio, audio
from relay_simulator.motion import MOTION_BYTES_PER_MS, Request


@pytest.mark.parametrize("rate", RATES[AudioFormat.OGG_OPUS])
@pytest.mark.parametrize("duration_ms", [20, 499, 500, 3000, 20_300])
def test_opus_has_the_duration_of_its_granule_positions(rate: int, duration_ms: int) -> None:
    """48 kHz ticks minus pre-skip, at every rate of the encoder; motion is as long as for PCM."""
    request = Request(1, "r", audio(AudioFormat.OGG_OPUS, rate))

    windows = request.receive(stream(duration_ms, rate), end=True)

    assert request.audio_ms == duration_ms
    assert sum(len(window.motion) for window in windows) == duration_ms * MOTION_BYTES_PER_MS
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True]
    assert len(windows) == 1 + (duration_ms >= 500) + max(0, duration_ms - 500) // 2000


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
@settings(max_examples=25)
def test_opus_may_be_cut_anywhere(sizes: list[int]) -> None:
    """Any pieces give the same motion."""
    data = stream(3000, 24_000)
    whole = Request(1, "r", OggOpus()).receive(data, end=True)
    request, pieces, at = Request(1, "r", OggOpus()), [], 0
    for size in sizes:
        pieces += request.receive(data[at : at + size], end=False)
        at += size
    pieces += request.receive(data[at:], end=True)

    assert pieces == whole


def test_the_whole_stream_decides() -> None:
    """Other packets of the same length make other motion; so does another pre-skip, by the time it takes."""
    once = Request(1, "r", OggOpus()).receive(stream(700, 24_000), end=True)
    later = Request(1, "r", OggOpus()).receive(
        stream(700, 24_000).replace(bytes([3] * 40), bytes([9] * 40)), end=True
    )
    more = Request(1, "r", OggOpus()).receive(stream(700, 24_000, pre_skip=3840), end=True)

    assert [window.digest for window in once] != [window.digest for window in later]
    assert [window.audio.duration_ms for window in more] == [500, 200]


def test_pages_without_the_end_of_a_packet_count_nothing() -> None:
    """Their granule position is -1."""
    opus = OggOpus()
    opus.add(headers(48_000) + page([b"x" * 510], -1) + page([b"y"], PRE_SKIP + 20 * TICKS_PER_MS))

    assert opus.rest().duration_ms == 20


def test_a_stream_that_breaks_off_sounds_as_far_as_its_whole_pages() -> None:
    """The page that is cut off is left out."""
    opus = OggOpus()
    opus.add(stream(1000, 16_000)[:-1])

    assert opus.rest().duration_ms == 1000 - (PRE_SKIP + TICKS_PER_MS - 1) // TICKS_PER_MS


@pytest.mark.parametrize(
    "data",
    [
        bytes(4096),
        b"RIFF" + bytes(100),
        page([b"OpusTags" + bytes(8)], 0),
        page([], 0),
        headers(48_000) + page([b"x"], 2**62),
        headers(48_000) + page([], PRE_SKIP + 48_000),
        headers(48_000) + b"OggZ" + bytes(100),
        b"OggS\x01" + bytes(100),
    ],
)  # fmt: skip
def test_what_is_no_ogg_opus(data: bytes) -> None:
    """PCM, other containers, a stream without header, pages that claim more than their packets hold."""
    with pytest.raises(UnreadableAudio):
        OggOpus().add(data)
