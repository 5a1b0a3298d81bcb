"""Speakers: a backend that speaks turn after turn in real time, so that a frame is always due.

They use speech streams, as an app does: a turn has a key, and after a break its stream resumes at the byte
offset that the relay has acknowledged.
"""

import asyncio
import random
import secrets
from collections import Counter

from tests.faults.truth import Spoken

from relay_client import Backend, BackendError, ControlUnavailable, SpeechStream
from relay_wire.pcm import chunk_bytes, chunks

SAMPLE_RATE = 16000
_AGAIN_S = 0.2
"""The wait after a turn that was refused."""


class Speaker:
    """Speaks one conversation over the audio socket, ``pace`` times as fast as it plays.

    Attributes:
        spoken: By turn, the audio that was sent.
        silent: Whether it is between two turns.
        resumed: How often a turn continued over another connection.
        refused: Answers that took a turn away.
    """

    def __init__(
        self,
        backend: Backend,
        conversation: str,
        *,
        turn_ms: int,
        chunk_ms: int,
        pace: float,
        pause_s: float,
        keep: bool,
    ) -> None:
        self._backend = backend
        self._conversation = conversation
        self._turn_bytes = chunk_bytes(turn_ms, SAMPLE_RATE)
        self._chunk_bytes = chunk_bytes(chunk_ms, SAMPLE_RATE)
        self._chunk_s = chunk_ms / 1000 / pace
        self._pause_s = pause_s
        self._keep = keep
        self._noise = random.Random(conversation)
        self._stopping = False
        self._may_talk = asyncio.Event()
        self._may_talk.set()
        self._stream: SpeechStream | None = None
        self.spoken: dict[int, Spoken] = {}
        self.silent = True
        self.resumed = 0
        self.refused: Counter[str] = Counter()

    def hold(self) -> None:
        """Send the running turn to its end, and no other until ``go_on``."""
        self._may_talk.clear()

    def go_on(self) -> None:
        """Speak again."""
        self._may_talk.set()

    def stop(self) -> None:
        """Send the running turn to its end, and no other."""
        self._stopping = True
        self.go_on()

    def cut(self) -> None:
        """Break the connection off, as a network does."""
        if self._stream is not None:
            self._stream.cut()

    async def talk(self) -> None:
        """Speak until stopped."""
        while True:
            self.silent = True
            if self._pause_s and not self._stopping:
                await asyncio.sleep(self._noise.uniform(0, 2 * self._pause_s))
            await self._may_talk.wait()
            if self._stopping:
                return
            self.silent = False
            spoken = Spoken(self._noise.randbytes(self._turn_bytes))
            await self._speak(spoken)
            if not self._keep:
                spoken.pcm = b""

    async def _speak(self, spoken: Spoken) -> None:
        key = secrets.token_urlsafe(12)
        while True:
            stream = self._stream = self._backend.speech(self._conversation, key=key)
            try:
                async with stream:
                    await self._send(stream, spoken)
                spoken.acknowledged = True
            except ControlUnavailable:
                continue  # the next stream with this key sends it from its start
            except BackendError as error:
                self.refused[str(error)] += 1
                await asyncio.sleep(_AGAIN_S)
            finally:
                self._note(stream, spoken)
                self.resumed += stream.resumes
            return

    async def _send(self, stream: SpeechStream, spoken: Spoken) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, chunk in enumerate(chunks(spoken.pcm, self._chunk_bytes), 1):
            await stream.send(chunk)
            self._note(stream, spoken)
            # As it is synthesised: what an outage has held up follows at once.
            await asyncio.sleep(began + number * self._chunk_s - loop.time())

    def _note(self, stream: SpeechStream, spoken: Spoken) -> None:
        if stream.turn:
            self.spoken[stream.turn] = spoken
