"""Talkers: a backend that speaks turn after turn in real time, so that a frame is always due.

They speak the audio socket's protocol by themselves: a turn has a key, and after a break it goes on at
the byte offset that the relay has acknowledged.
"""

import asyncio
import random
import secrets
from collections import Counter

import aiohttp
from tests.faults.truth import Spoken

from relay_cli.backend import Backend
from relay_wire import speaker
from relay_wire.pcm import chunk_bytes

SAMPLE_RATE = 16000
_AGAIN_S = 0.2
"""Longest wait before the next attempt to connect."""


class Talker:
    """Speaks one conversation over the audio socket, ``pace`` times as fast as it plays.

    Attributes:
        spoken: By turn, what was said.
        silent: Whether it is between two turns.
        resumed: How often a turn went on over another connection.
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
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.spoken: dict[int, Spoken] = {}
        self.silent = True
        self.resumed = 0
        self.refused: Counter[str] = Counter()

    def hold(self) -> None:
        """Say the running turn to its end, and no other until ``go_on``."""
        self._may_talk.clear()

    def go_on(self) -> None:
        """Speak again."""
        self._may_talk.set()

    def stop(self) -> None:
        """Say the running turn to its end, and no other."""
        self._stopping = True
        self.go_on()

    def cut(self) -> None:
        """Break the connection off, as a network does."""
        connection = self._socket and self._socket._conn
        if connection and connection.transport:
            connection.transport.abort()

    async def talk(self) -> None:
        """Speak until told to stop."""
        while True:
            self.silent = True
            if self._pause_s and not self._stopping:
                await asyncio.sleep(self._noise.uniform(0, 2 * self._pause_s))
            await self._may_talk.wait()
            if self._stopping:
                return
            self.silent = False
            turn = _Turn(self._noise.randbytes(self._turn_bytes))
            await self._say(turn)
            if not self._keep:
                turn.spoken.pcm = b""

    async def _say(self, turn: "_Turn") -> None:
        attempts = 0
        while not turn.over:
            try:
                async with asyncio.timeout(5):
                    socket = self._socket = await self._backend.socket(self._conversation)
                await self._speak(turn, socket)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(random.uniform(0, _AGAIN_S))
            attempts += 1
        self.resumed += attempts - 1

    async def _speak(self, turn: "_Turn", socket: aiohttp.ClientWebSocketResponse) -> None:
        sending = None
        try:
            await socket.send_str(speaker.encode(speaker.Start(key=turn.key)))
            async for message in socket:
                if message.type is aiohttp.WSMsgType.ERROR:  # the connection is broken
                    return
                match speaker.decode_answer(message.data):
                    case speaker.Turn(number):
                        self.spoken[number] = turn.spoken
                    case speaker.Ack(number, offset):
                        if number:
                            self.spoken[number] = turn.spoken
                        if sending is None:
                            sending = asyncio.create_task(self._send(socket, turn, offset))
                    case speaker.Ended(number, offset):
                        self.spoken[number] = turn.spoken
                        turn.spoken.acknowledged = turn.over = True
                        return
                    case speaker.Error(retryable=True) as error if error.code != "turn-open":
                        return
                    case answer:
                        self.refused[str(answer)] += 1
                        await asyncio.sleep(_AGAIN_S)
                        turn.over = True
                        return
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            # Only 1000 would end a turn that is not complete.
            await socket.close(code=1000 if turn.over else 1001)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, turn: "_Turn", offset: int) -> None:
        loop = asyncio.get_running_loop()
        pcm = turn.spoken.pcm
        while offset < len(pcm):
            chunk = pcm[offset : offset + self._chunk_bytes]
            await socket.send_bytes(chunk)
            offset += len(chunk)
            # As it is synthesised: what an outage has held up follows at once.
            await asyncio.sleep(turn.began + offset / self._chunk_bytes * self._chunk_s - loop.time())
        await socket.send_str(speaker.encode(speaker.End()))


class _Turn:
    """A turn being said, over as many connections as it takes."""

    def __init__(self, pcm: bytes) -> None:
        self.spoken = Spoken(pcm)
        self.key = secrets.token_urlsafe(12)
        self.began = asyncio.get_running_loop().time()
        self.over = False
