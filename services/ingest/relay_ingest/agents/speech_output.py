"""The voice: an agent's way into the uplink, where its speech becomes turns like a backend's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from relay_ingest.agents.prebuffer import PREBUFFER_MS, prebuffered
from relay_redis.errors import StoreError
from relay_streams.conversations import Conversation
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import (
    InputMismatch,
    OffsetGap,
    SpeakerBusy,
    SpeakerFence,
    TurnClosed,
    Uplink,
    UplinkFull,
)
from relay_telemetry.counter import counter
from relay_wire.pcm import BYTES_PER_SAMPLE, chunk_bytes
from relay_wire.send_buffer import BufferTruncated
from relay_wire.uplink import Interrupt

KEYS = "agent:"
"""How the keys of agents' turns begin; no door takes such a key."""
REFUSALS = (SpeakerBusy, TurnClosed, UplinkFull, InputMismatch, OffsetGap, BufferTruncated, StoreError)
REFUSED = counter(
    "relay_agent_refused_total",
    "Speeches of agents that were refused or cut.",
    reason=(
        "interrupted", "toolong", "busy", "closed", "full", "mismatch", "missed", "forgotten",
        "unavailable", "missing", "ended", "fenced", "refused", "unreadable",
    ),
)  # fmt: skip
_CHUNK_MS = 100
_TAIL_BYTES = 256 * 1024
"""What is kept of a speech in case Redis loses its end."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Overdue(Exception):
    """Raised when an agent does not do in time what it owes."""


class TooLong(Exception):
    """Raised when a speech was cut at its longest."""


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """Bounds of a speech."""

    chunk_s: float
    """How long its next chunk may take."""
    speech_s: float
    """Its longest audio."""
    wait_s: float
    """How long the uplink may be full, or Redis away."""


class SpeechOutput:
    """Speaks for an agent during one owner's term. One speech at a time.

    Args:
        uplink: Where speech goes.
        keys: The conversation.
        sample_rate: Its sample rate.
        term: By what right it speaks, now.
        limits: The bounds.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        uplink: Uplink,
        keys: ConversationKeys,
        *,
        sample_rate: int,
        term: Callable[[], SpeakerFence],
        limits: SpeechLimits,
        spawn: Spawn,
    ) -> None:
        self._uplink = uplink
        self._keys = keys
        self._sample_rate = sample_rate
        self._term = term
        self._limits = limits
        self._spawn = spawn
        self._closing: asyncio.Task[None] | None = None

    def close_former(self, record: Conversation) -> None:
        """End the turn that the agent of an owner before us left open, with the audio it has."""
        if record.input_state == "open" and record.input_key.startswith(KEYS):
            self._closing = self._spawn(self._close(record.input_key))

    async def interrupt(self) -> None:
        """Cancel every turn opened so far. Raises one of ``REFUSALS``."""
        await self._uplink.append(self._keys, Interrupt(reason="agent"), fence=self._term())

    async def say(self, chunks: AsyncIterator[bytes], *, barge_in: bool, real_time: bool) -> None:
        """Speak a turn; no audio, no turn. However it ends, so does the turn, with the audio that is in.

        Args:
            chunks: PCM, cut anywhere; a generator is closed in the end.
            barge_in: Cancel what is spoken or waits, instead of waiting for it.
            real_time: The chunks come no faster than they are played: be ahead before the first is spoken.

        Raises:
            Overdue: A chunk did not come in time.
            TooLong: The speech was cut.
            Exception: One of ``REFUSALS``, or what the chunks raise.

        Cancelling is safe.
        """
        if self._closing is not None:
            await asyncio.wait([self._closing])
        speech = TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            door="agent",
            wait_s=self._limits.wait_s,
            chunk_bytes=chunk_bytes(_CHUNK_MS, self._sample_rate),
            tail_bytes=_TAIL_BYTES,
            key=KEYS + new_key(),
            barge_in=barge_in,
            term=self._term(),
        )
        bounded = self._bounded(chunks)
        if real_time:
            bounded = prebuffered(bounded, chunk_bytes(PREBUFFER_MS, self._sample_rate))
        is_open = False
        try:
            async with aclosing(bounded):
                async for pcm in bounded:
                    is_open = True
                    await speech.say(pcm)
                if is_open:
                    await speech.say(b"", end=True)
                    is_open = False
        finally:
            if is_open:
                self._closing = self._spawn(self._close(speech.key))
            await self._let_go(chunks)

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Whole samples, each chunk in time, no more than a speech may have."""
        left = chunk_bytes(int(self._limits.speech_s * 1000), self._sample_rate)
        rest = b""
        while True:
            try:
                async with asyncio.timeout(self._limits.chunk_s):
                    pcm = rest + await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Overdue("the speech's next chunk did not come") from None
            whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
            rest = pcm[whole:]
            if sayable := pcm[: min(whole, left)]:
                yield sayable
            left -= whole
            if left < 0:
                raise TooLong

    async def _let_go(self, chunks: AsyncIterator[bytes]) -> None:
        if isinstance(chunks, AsyncGenerator):
            async with asyncio.timeout(self._limits.chunk_s):
                await chunks.aclose()

    async def _close(self, key: str) -> None:
        # Asked, not remembered: a cancelled chunk may be in or not.
        with suppress(*REFUSALS):
            found = await self._uplink.find(self._keys, key=key)
            if found is not None and found.state == "open":
                await self._uplink.speak(
                    self._keys, turn=found.turn, key=key, offset=found.offset, pcm=b"", end=True,
                    term=self._term(),
                )  # fmt: skip
