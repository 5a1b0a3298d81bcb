"""Motion: the simulator's answer to audio, a function of seed, request id and audio. So a test can compute
the expected payloads.

Sizes follow facts 3 and 12: 20 KB of motion per second of speech, a first window of half a second,
then windows of two seconds.
"""

import hashlib
from typing import NamedTuple

from relay_simulator import messages
from relay_simulator.audio import Audio, Pcm, Stretch

FIRST_WINDOW_MS = 500
NEXT_WINDOW_MS = 2000
MOTION_BYTES_PER_MS = 20


class Window(NamedTuple):
    """Motion of one stretch of a request's audio."""

    digest: bytes
    """Digest of all audio up to the stretch's end; the motion is derived from it."""
    audio: Stretch
    last: bool
    first: bool

    @property
    def motion(self) -> bytes:
        """The bytes, computed on access, so that a queued window takes no memory for them."""
        size_bytes = self.audio.duration_ms * MOTION_BYTES_PER_MS
        return hashlib.shake_256(self.digest).digest(size_bytes)


class Request:
    """Generates the motion of one request from its audio."""

    def __init__(self, seed: int, req_id: str, audio: Audio) -> None:
        self.req_id = req_id
        self.audio_bytes = 0
        self.audio_ms = 0
        """Duration of the windows so far."""
        self._audio = audio
        self._digest = hashlib.blake2b(f"{seed}:{req_id}".encode())
        self._received = hashlib.sha256()
        self._windows = 0

    def receive(self, data: bytes, *, end: bool) -> list[Window]:
        """Append audio; returns the windows that are complete now. With ``end`` the last one is short.

        Raises:
            UnreadableAudio: The audio is not in its format.
        """
        self.audio_bytes += len(data)
        self._received.update(data)
        self._audio.add(data)
        windows = []
        while (stretch := self._audio.cut(self._window_ms)) is not None:
            windows.append(self._answer(stretch, last=False))
        if end:
            windows.append(self._answer(self._audio.rest(), last=True))
        return windows

    @property
    def audio_sha256(self) -> str:
        """The digest of the audio so far."""
        return self._received.hexdigest()

    @property
    def _window_ms(self) -> int:
        return NEXT_WINDOW_MS if self._windows else FIRST_WINDOW_MS

    def _answer(self, stretch: Stretch, *, last: bool) -> Window:
        self._digest.update(stretch.data)
        self._windows += 1
        self.audio_ms += stretch.duration_ms
        return Window(self._digest.digest(), stretch, last, first=self._windows == 1)


def expected_payloads(
    *, seed: int, connection_id: str, req_id: str, sample_rate: int, pcm: bytes
) -> list[bytes]:
    """Every payload that the simulator sends for a request of PCM, however its audio was cut."""
    windows = Request(seed, req_id, Pcm(sample_rate)).receive(pcm, end=True)
    return [messages.animation(connection_id, req_id, window.motion, end=window.last) for window in windows]
