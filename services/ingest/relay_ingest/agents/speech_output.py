"""Speech output: an agent's audio on its way into the uplink, where it becomes turns like a backend's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from relay_redis.errors import Refused, StoreError, Unavailable
from relay_streams.conversations import Conversation
from relay_streams.errors import Ended, Fenced, Missing, Unreadable, UplinkRejected
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.append_speech import SpeakerFence
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_wire.pcm import BYTES_PER_SAMPLE, chunk_bytes
from relay_wire.uplink import Interrupt

KEY_PREFIX = "agent:"
"""Prefix of the keys of agents' turns; control accepts no key with it."""
PREBUFFER_MS = 4000
"""How far ahead of playback a client must be so that its motion does not run out (facts 3)."""
_ERRORS = (
    *UplinkRejected.__subclasses__(), Unavailable, Missing, Ended, Fenced, Refused, Unreadable,
)  # fmt: skip
"""Errors that reject an agent's speech without a fault of the agent."""
REJECTED = counter(
    "relay_agent_rejected_total",
    "Speeches of agents that were rejected, interrupted or cut.",
    reason=(
        "interrupted", "speechtoolong", *(kind.__name__.lower() for kind in _ERRORS),
    ),
)  # fmt: skip
_CHUNK_MS = 100
_BUFFER_BYTES = 256 * 1024
"""Appended audio that is kept, in case Redis loses it."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class AgentTimeout(Exception):
    """Raised when an agent reads no event, or yields no audio, for ``RELAY_AGENT_TIMEOUT_S``."""


class SpeechTooLong(Exception):
    """Raised when a speech was cut at the limit."""


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """Bounds of a speech."""

    chunk_s: float
    """Longest wait for its next chunk."""
    speech_s: float
    """Longest audio."""
    wait_s: float
    """How long the uplink may be full, or Redis unreachable."""


class SpeechOutput:
    """Appends an agent's speech to the uplink, for as long as one worker owns the conversation. One speech at
    a time.

    Args:
        uplink: Where speech is appended.
        keys: The conversation.
        sample_rate: Its sample rate.
        fence: The fence of an append made now.
        limits: The bounds.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        uplink: Uplink,
        keys: ConversationKeys,
        *,
        sample_rate: int,
        fence: Callable[[], SpeakerFence],
        limits: SpeechLimits,
        spawn: Spawn,
    ) -> None:
        self._uplink = uplink
        self._keys = keys
        self._sample_rate = sample_rate
        self._fence = fence
        self._limits = limits
        self._spawn = spawn
        self._closing: asyncio.Task[None] | None = None
        """Ends a turn that was left open; the next one waits for it."""

    def end_former_turn(self, record: Conversation) -> None:
        """End the turn that the agent of the former owner left open, with the audio it has."""
        if record.input_state == "open" and record.input_key.startswith(KEY_PREFIX):
            self._closing = self._spawn(self._end_turn(record.input_key))

    async def interrupt(self) -> None:
        """Cancel every turn opened so far. Raises ``StoreError``."""
        await self._uplink.append(self._keys, Interrupt(reason="agent"), fence=self._fence())

    async def stream(self, audio: bytes | AsyncIterator[bytes], *, barge_in: bool, real_time: bool) -> None:
        """Append a turn; without audio there is none. However it ends, the turn ends with the audio appended.

        Args:
            audio: PCM: all of it, or chunks of any length; a generator is closed in the end.
            barge_in: Cancel the turns that play or wait, instead of waiting for them.
            real_time: The chunks come no faster than they are played: buffer ``PREBUFFER_MS`` first.

        Raises:
            AgentTimeout: A chunk did not arrive in time.
            SpeechTooLong: The speech was cut.
            StoreError: The uplink or Redis rejects it.
            Exception: What the generator raises.

        Cancelling is safe.
        """
        chunks = _single(audio) if isinstance(audio, bytes) else audio
        if self._closing is not None:
            await asyncio.wait([self._closing])
        turn = TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            source="agent",
            wait_s=self._limits.wait_s,
            chunk_bytes=chunk_bytes(_CHUNK_MS, self._sample_rate),
            buffer_bytes=_BUFFER_BYTES,
            key=KEY_PREFIX + new_key(),
            barge_in=barge_in,
            fence=self._fence(),
        )
        bounded = self._bounded(chunks)
        if real_time:
            bounded = prebuffered(bounded, chunk_bytes(PREBUFFER_MS, self._sample_rate))
        is_open = False
        try:
            async with aclosing(bounded):
                async for pcm in bounded:
                    is_open = True
                    await turn.append(pcm)
                if is_open:
                    await turn.append(b"", end=True)
                    is_open = False
        finally:
            turn.finish()
            if is_open:
                self._closing = self._spawn(self._end_turn(turn.key))
            await self._close_source(chunks)

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield whole samples. Raises ``AgentTimeout`` for a late chunk, ``SpeechTooLong`` at the limit."""
        left = chunk_bytes(int(self._limits.speech_s * 1000), self._sample_rate)
        rest = b""
        while True:
            try:
                async with asyncio.timeout(self._limits.chunk_s):
                    pcm = rest + await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise AgentTimeout("the next chunk of the speech did not arrive") from None
            whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
            rest = pcm[whole:]
            if allowed := pcm[: min(whole, left)]:
                yield allowed
            left -= whole
            if left < 0:
                raise SpeechTooLong

    async def _close_source(self, chunks: AsyncIterator[bytes]) -> None:
        if isinstance(chunks, AsyncGenerator):
            async with asyncio.timeout(self._limits.chunk_s):
                await chunks.aclose()

    async def _end_turn(self, key: str) -> None:
        # The offset is read from Redis: a cancelled append may have been executed or not.
        with suppress(StoreError):
            found = await self._uplink.find(self._keys, key=key)
            if found is not None and found.state == "open":
                await self._uplink.append_speech(
                    self._keys, turn=found.turn, key=key, offset=found.offset, pcm=b"", end=True,
                    fence=self._fence(),
                )  # fmt: skip


async def prebuffered(chunks: AsyncGenerator[bytes], size_bytes: int) -> AsyncGenerator[bytes]:
    """Yield the same audio, after buffering ``size_bytes`` of it, or all of it if it is shorter."""
    buffer = bytearray()
    is_full = False
    async with aclosing(chunks):
        async for pcm in chunks:
            if is_full:
                yield pcm
                continue
            buffer += pcm
            if len(buffer) >= size_bytes:
                is_full = True
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)


async def _single(pcm: bytes) -> AsyncGenerator[bytes]:
    yield pcm
