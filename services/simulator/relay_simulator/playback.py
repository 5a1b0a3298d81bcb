"""Playback: plays the requests of a session into its room, one after the other.

The playback of a request begins with its first window, pauses while the next one is late, and ends after its
last window or with an interrupt. Its clock runs at the simulator's speed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from relay_simulator.audio import Stretch
from relay_simulator.motion import Window
from relay_simulator.request_log import RequestLog
from relay_simulator.room import Participant

_SLICE_MS = 100
"""Length of the pieces of audio that the participant receives when they are due."""
_WAITING_WINDOWS = 256
"""Most windows that wait to be played; at the limit no further motion is generated."""

END = Window(b"", Stretch(b"", 0), last=True, first=False)
"""The end of a request, without audio or motion."""


class Playback:
    """Plays windows.

    Args:
        participant: Plays the audio.
        speed: Divides the duration of playback.
        finished: Called at the end of a request; the next one waits for it.
    """

    def __init__(
        self, participant: Participant, *, speed: float, finished: Callable[[RequestLog], Awaitable[None]]
    ) -> None:
        self._participant = participant
        self._speed = speed
        self._finished = finished
        self._windows: asyncio.Queue[tuple[RequestLog, Window]] = asyncio.Queue(_WAITING_WINDOWS)
        self._interrupted = asyncio.Event()
        self._playing = False
        self._due = 0.0

    @property
    def busy(self) -> bool:
        """Whether a window is played, or waits to be played."""
        return self._playing or not self._windows.empty()

    async def add(self, entry: RequestLog, window: Window) -> None:
        """Queue a window; waits while the queue is full."""
        await self._windows.put((entry, window))

    async def interrupt(self, entries: Iterable[RequestLog]) -> None:
        """Stop the playback of these requests, discard their windows, and finish them in order."""
        for entry in entries:
            entry.interrupted = True
            self._interrupted.set()
            self._participant.stop()
            await self._windows.put((entry, END))

    async def run(self) -> None:
        """Play queued windows. Runs until cancelled."""
        while True:
            entry, window = await self._windows.get()
            self._playing = True
            if not entry.interrupted:
                await self._play(entry, window)
            if window is END or (window.last and not entry.interrupted):
                self._interrupted.clear()
                await self._finished(entry)
            self._playing = False

    async def _play(self, entry: RequestLog, window: Window) -> None:
        if window.first and window.audio.duration_ms:
            self._participant.playback_started()
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time())
        for piece in _slices(window.audio):
            begun = self._due
            self._due += piece.duration_ms / 1000 / self._speed
            self._participant.play(piece.data)
            if await self._interrupted_before(self._due):
                passed_ms = int((loop.time() - begun) * 1000 * self._speed)
                entry.playback_ms += max(0, min(passed_ms, piece.duration_ms))
                self._due = 0.0
                return
            entry.playback_ms += piece.duration_ms

    async def _interrupted_before(self, due: float) -> bool:
        try:
            async with asyncio.timeout_at(due):
                return await self._interrupted.wait()
        except TimeoutError:
            return False


def _slices(audio: Stretch) -> Iterable[Stretch]:
    """Cut audio into slices of equal duration; its bytes count as evenly distributed."""
    bytes_per_ms = len(audio.data) / audio.duration_ms if audio.duration_ms else 0
    for start_ms in range(0, audio.duration_ms, _SLICE_MS):
        end_ms = min(start_ms + _SLICE_MS, audio.duration_ms)
        start, end = (round(at * bytes_per_ms) // 2 * 2 for at in (start_ms, end_ms))
        yield Stretch(audio.data[start:end], end_ms - start_ms)
