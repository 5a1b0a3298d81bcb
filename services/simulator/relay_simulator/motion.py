"""Motion: what the stand-in answers to audio. A function of seed, request id and audio, so a test can
compute what must arrive.

Sizes follow facts 3 and 12: 20 KB of motion per second of speech, a first window of half a second,
then windows of two seconds.
"""

import hashlib
from typing import NamedTuple

from relay_simulator import messages
from relay_wire.pcm import chunk_bytes, duration_ms

FIRST_WINDOW_MS = 500
NEXT_WINDOW_MS = 2000
MOTION_BYTES_PER_MS = 20


class Window(NamedTuple):
    """Motion for one stretch of a request's audio."""

    motion: bytes
    last: bool
    first: bool


class Request:
    """One request's audio on its way to motion."""

    def __init__(self, seed: int, req_id: str, sample_rate: int) -> None:
        self.req_id = req_id
        self.audio_bytes = 0
        self._sample_rate = sample_rate
        self._digest = hashlib.blake2b(f"{seed}:{req_id}".encode())
        self._waiting = bytearray()
        self._windows = 0

    def hear(self, pcm: bytes, *, end: bool) -> list[Window]:
        """Take audio; returns the windows that are complete now. With ``end`` the last one is short."""
        self.audio_bytes += len(pcm)
        self._waiting += pcm
        windows = []
        while len(self._waiting) >= self._window_bytes():
            size_bytes = self._window_bytes()
            windows.append(self._answer(bytes(self._waiting[:size_bytes]), last=False))
            del self._waiting[:size_bytes]
        if end:
            windows.append(self._answer(bytes(self._waiting), last=True))
            self._waiting.clear()
        return windows

    def _window_bytes(self) -> int:
        return chunk_bytes(NEXT_WINDOW_MS if self._windows else FIRST_WINDOW_MS, self._sample_rate)

    def _answer(self, pcm: bytes, *, last: bool) -> Window:
        self._digest.update(pcm)
        self._windows += 1
        size_bytes = duration_ms(len(pcm), self._sample_rate) * MOTION_BYTES_PER_MS
        motion = hashlib.shake_256(self._digest.digest()).digest(size_bytes)
        return Window(motion, last, first=self._windows == 1)


def expected_payloads(
    *, seed: int, connection_id: str, req_id: str, sample_rate: int, pcm: bytes
) -> list[bytes]:
    """Every payload the stand-in sends for a request, whatever chunks its audio came in."""
    windows = Request(seed, req_id, sample_rate).hear(pcm, end=True)
    return [messages.animation(connection_id, req_id, window.motion, end=window.last) for window in windows]
