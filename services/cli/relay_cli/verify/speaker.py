"""Speakers: speech that differs from turn to turn, posted whole or streamed as it is spoken."""

import asyncio
import secrets
from importlib.resources import files

from relay_cli.verify.turn import SpokenTurn
from relay_client import Backend
from relay_wire import samples
from relay_wire.pcm import BYTES_PER_SAMPLE, chunk_bytes, chunks

_CHUNK_MS = 40
_STEP_SAMPLES = 4099
"""Samples by which the speech of a turn begins later than that of the turn before."""


class Speech:
    """Speech of a given length, cut from the clip of the package; each number gives another cut.

    Args:
        turn_ms: Its length.
    """

    def __init__(self, turn_ms: int) -> None:
        wav = files("relay_cli").joinpath("data/speech.wav").read_bytes()
        pcm, sample_rate = samples.read(wav, None, wav=True)
        self.turn_s = turn_ms / 1000
        self.sample_rate: int = sample_rate or 0
        self._clip = pcm
        self._size_bytes = chunk_bytes(turn_ms, self.sample_rate)

    def turn(self, number: int) -> bytes:
        """The PCM of the turn with this number."""
        start = number * _STEP_SAMPLES * BYTES_PER_SAMPLE % len(self._clip)
        repeated = self._clip[start:] + self._clip * (self._size_bytes // len(self._clip) + 1)
        return repeated[: self._size_bytes]


class Speaker:
    """Speaks in one conversation, in real time.

    Raises the errors of ``Backend``; a turn is spoken once however often connections break.

    Args:
        backend: The client of control.
        conversation: The conversation's id.
        sample_rate: Of its speech, in Hz.
    """

    def __init__(self, backend: Backend, conversation: str, sample_rate: int) -> None:
        self._backend = backend
        self._conversation = conversation
        self._sample_rate = sample_rate

    async def post(self, pcm: bytes) -> SpokenTurn:
        """Post a turn whole."""
        accepted = await self._backend.post_turn(self._conversation, pcm, key=secrets.token_urlsafe(12))
        return SpokenTurn.of(accepted.turn, pcm)

    async def stream(self, pcm: bytes) -> SpokenTurn:
        """Stream a turn as fast as it is spoken; audio that an outage holds up follows at once."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        speech = self._backend.speech(self._conversation, sample_rate=self._sample_rate)
        async with speech as stream:
            pieces = chunks(pcm, chunk_bytes(_CHUNK_MS, self._sample_rate))
            for number, piece in enumerate(pieces, start=1):
                await stream.send(piece)
                await asyncio.sleep(began + number * _CHUNK_MS / 1000 - loop.time())
        return SpokenTurn.of(speech.turn, pcm)
