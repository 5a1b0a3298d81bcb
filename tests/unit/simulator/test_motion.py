"""The stand-in's motion: determined by seed, request and audio, whatever the chunking."""

from hypothesis import given, settings
from hypothesis import strategies as st

from relay_simulator.audio import Pcm
from relay_simulator.motion import FIRST_WINDOW_MS, NEXT_WINDOW_MS, Request, expected_payloads
from relay_wire.pcm import chunk_bytes

RATE = 8000


def speech(milliseconds: int) -> bytes:
    size = chunk_bytes(milliseconds, RATE)
    return bytes(index * 7 % 256 for index in range(size))


def test_sizes_and_windows() -> None:
    """A first half second, then two seconds each, 20 KB a second, the rest with the end."""
    pcm = speech(FIRST_WINDOW_MS + NEXT_WINDOW_MS + 700)

    windows = Request(1, "r", Pcm(RATE)).receive(pcm, end=True)

    assert [len(window.motion) for window in windows] == [10_000, 40_000, 14_000]
    assert [window.last for window in windows] == [False, False, True]
    assert [window.first for window in windows] == [True, False, False]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
@settings(max_examples=25)
def test_chunking_does_not_matter(sizes: list[int]) -> None:
    """The same audio in any chunks gives the same motion."""
    pcm = speech(sum(sizes))
    whole = Request(1, "r", Pcm(RATE)).receive(pcm, end=True)
    request, pieces = Request(1, "r", Pcm(RATE)), []
    at = 0
    for size in sizes:
        step = size * len(pcm) // sum(sizes)
        pieces += request.receive(pcm[at : at + step], end=False)
        at += step
    pieces += request.receive(pcm[at:], end=True)

    assert pieces == whole


def test_seed_request_and_audio_decide() -> None:
    """Changing any of the three changes the motion."""
    pcm = speech(600)
    same = {"seed": 1, "connection_id": "c", "req_id": "r", "sample_rate": RATE, "pcm": pcm}

    once = expected_payloads(**same)

    assert once == expected_payloads(**same)
    for change in ({"seed": 2}, {"req_id": "s"}, {"pcm": pcm[:-2] + b"\x00\x01"}):
        assert once != expected_payloads(**{**same, **change})
