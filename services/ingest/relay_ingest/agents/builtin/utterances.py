"""Utterances: a viewer's microphone audio, cut where the viewer has stopped talking. Pure."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from relay_ingest.agents.builtin.voice_activity import WINDOW_MS, VoiceActivity
from relay_wire.pcm import chunk_bytes, chunks

_ONSET = 60 // WINDOW_MS
"""Windows with a voice, one after the other, that begin an utterance: a click is shorter."""
_MARGIN = 200 // WINDOW_MS
"""Windows around the voice that belong to the utterance: soft sounds begin and end words."""


class _Window(NamedTuple):
    pcm: bytes
    level: float


class Utterances:
    """Records the microphone audio of one sample rate. Time is counted in samples: there is no clock.

    Silence ends an utterance if the viewer does not mark its end. Silence around it is cut off.

    Args:
        sample_rate: Of the audio, in Hz.
        threshold_dbfs: The level below which nothing is a voice.
        silence_s: How long the silence after a voice is that ends the utterance.
        longest_s: Longest recording; of more, the latest.
    """

    def __init__(
        self, *, sample_rate: int, threshold_dbfs: float, silence_s: float, longest_s: float
    ) -> None:
        self._activity = VoiceActivity(threshold_dbfs)
        self._window_bytes = chunk_bytes(WINDOW_MS, sample_rate)
        self._silence = max(1, _windows(silence_s))
        self._recorded = deque[_Window](maxlen=max(1, _windows(longest_s)))
        self._rest = b""
        """The beginning of the next window."""
        self._spoken = 0
        """The windows of the current utterance, which are the last ones; 0: nobody talks."""
        self._voiced = 0
        """The last windows, one after the other, that have a voice."""
        self._quiet = 0
        """The windows since the voice of the current utterance."""
        self._cut = False
        """Whether silence has ended an utterance since the last end that a viewer marked."""

    @property
    def has_begun(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return self._spoken > 0

    def add(self, pcm: bytes) -> Iterator[bytes]:
        """Record audio of any length, and yield each utterance that silence has ended in it."""
        pcm, size = self._rest + pcm, self._window_bytes
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        for window in chunks(pcm[:whole], size):
            self._record(window)
            if self.has_begun and self._quiet >= self._silence and (utterance := self._end()):
                yield utterance

    def stop(self) -> bytes:
        """End the current utterance, since no more audio arrives. Returns its audio, without mere noise."""
        self._rest = b""
        return self._end()

    def finish(self) -> bytes:
        """End the recording where the viewer has marked an end. Returns the audio to answer.

        It is the current utterance. If none was found since the last marked end, it is the whole recording,
        since the viewer's mark counts for more than the threshold.
        """
        windows = self._current() if self.has_begun or self._cut else list(self._recorded)
        audio = _pcm(windows) + (self._rest if windows or not self._cut else b"")
        self._cut = False
        self.clear()
        self._rest = b""
        return audio

    def clear(self) -> None:
        """Discard the recording. The noise of the room stays known."""
        self._recorded.clear()
        self._spoken = self._voiced = 0

    def _end(self) -> bytes:
        windows = self._current()
        if sum(self._activity.is_voice(window.level) for window in windows) < _ONSET:
            self._spoken = 0  # What began it was the noise of the room, of which more is known by now.
            return b""
        self._cut = True
        self.clear()
        return _pcm(windows[: len(windows) - max(0, self._quiet - _MARGIN)])

    def _record(self, pcm: bytes) -> None:
        level = self._activity.measure(pcm)
        self._recorded.append(_Window(pcm, level))
        self._voiced = self._voiced + 1 if self._activity.is_voice(level) else 0
        if self.has_begun:
            self._spoken += 1
        elif self._voiced == _ONSET:
            self._spoken = _ONSET + _MARGIN
        self._quiet = 0 if self._voiced >= _ONSET else self._quiet + 1

    def _current(self) -> list[_Window]:
        return list(islice(self._recorded, max(0, len(self._recorded) - self._spoken), None))


def _windows(seconds: float) -> int:
    return round(seconds * 1000 / WINDOW_MS)


def _pcm(windows: list[_Window]) -> bytes:
    return b"".join(window.pcm for window in windows)
