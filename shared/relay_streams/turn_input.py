"""Turn input: the append of one speaker's audio to one turn, each byte exactly once.

The offset in Redis leads. When it is ahead, another attempt at the same turn was faster, and the bytes before
it are skipped; when it is behind, Redis has lost the end of the turn, which is appended again from the send
buffer.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from relay_redis.errors import Unavailable
from relay_streams.errors import AudioLost, InputMismatch, Missing, OffsetGap, UplinkFull
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.append_speech import Appended, SpeakerFence
from relay_streams.scripts.find_turn import TurnInputState
from relay_streams.send_span import SendSpan
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_telemetry.trace_context import NO_TRACE, Context
from relay_wire.send_buffer import BufferTruncated, SendBuffer

SOURCES = ("post", "socket", "viewer", "agent", "clip")
"""The kinds of speakers."""
TURNS = counter("relay_speech_turns_total", "Turns opened or resumed.", source=SOURCES)
AUDIO_BYTES = counter("relay_speech_audio_bytes_total", "Bytes of speech received.", source=SOURCES)
WAITS = Counter("relay_speech_waits_total", "Retries while the uplink was full or Redis unavailable.")
SKIPPED_BYTES = Counter("relay_speech_skipped_bytes_total", "Bytes that were sent again and stored already.")
REWINDS = Counter("relay_speech_rewinds_total", "Times that Redis had lost speech and it was appended again.")
CHUNK_SECONDS = Histogram(
    "relay_speech_chunk_seconds",
    "Seconds to append a piece of speech, retries included.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 10),
)

CHUNKS_AT_ONCE = 16
"""Chunks in one command: fewer commands for long audio, and none that occupies Redis for long."""


def new_key() -> str:
    """A key for a turn without one, so that its opening may be repeated."""
    return secrets.token_urlsafe(12)


@dataclass(slots=True)
class TurnInput:
    """Appends the audio of one turn.

    Args:
        uplink: Appends the chunks.
        keys: The conversation.
        source: The kind of speaker: one of ``SOURCES``.
        wait_s: How long a piece may wait for a full uplink, or for Redis, before it fails.
        chunk_bytes: Longest entry of the uplink; longer audio is cut.
        buffer_bytes: How much appended audio the send buffer keeps, to append it again when Redis loses some.
        key: Idempotency key of the turn.
        barge_in: Cancel the turns that play or wait, instead of waiting for them.
        trace: The trace context of the request that brings the audio; stored with its first piece.
        fence: Of an owner's agent.
        viewer: Whether a viewer speaks.
        motion: Of a clip, the motion payloads of each chunk of ``chunk_bytes``; empty: Motion Server renders
            the motion.
        sleep: Waits between attempts; an exception of it ends the append, with no attempt under way.
    """

    uplink: Uplink
    keys: ConversationKeys
    source: str
    wait_s: float
    chunk_bytes: int
    buffer_bytes: int
    key: str
    barge_in: bool = False
    trace: Context = NO_TRACE
    fence: SpeakerFence | None = None
    viewer: bool = False
    motion: Sequence[Sequence[bytes]] = ()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    turn: int = 0
    """0 until the first chunk is appended."""
    offset: int = 0
    """Bytes that are appended."""
    _buffer: SendBuffer = field(default_factory=SendBuffer)
    _span: SendSpan | None = None
    _begun: int = 0
    """Where this input began in the turn."""

    def resume(self, found: TurnInputState) -> None:
        """Append to this turn, instead of opening one."""
        self.turn, self.offset, _, self.key = found
        self._buffer = SendBuffer(found.offset)
        self._begun = found.offset
        TURNS.labels(self.source).inc()

    async def append(self, pcm: bytes, *, end: bool = False) -> None:
        """Append audio, waiting while the uplink is full. With ``end`` the turn is complete.

        Raises:
            SpeakerBusy: Another turn is open; only for the first chunk.
            TurnClosed: The turn was interrupted, barged into, or silent for too long.
            InputMismatch: The turn has other audio: another length under the same key.
            AudioLost: Redis has lost more than the send buffer keeps.
            UplinkFull: The uplink was full for ``wait_s``.
            Unavailable: Redis was unavailable for ``wait_s``. Whether the audio is appended is unknown.
            Missing: Redis has lost the conversation, and no owner restored it in time.
            Ended: The conversation has ended.
            Fenced: The agent's owner has been replaced.

        Cancelling is safe: no byte is appended twice. Do not use the object after an error.
        """
        AUDIO_BYTES.labels(self.source).inc(len(pcm))
        if self._span is None:
            self._span = SendSpan(
                self.trace, conversation=self.keys.id, source=self.source, resumes=self.turn > 0
            )
        self._buffer.add(pcm)
        ended = False
        try:
            while self.offset < self._buffer.end or (end and not ended):
                ended = await self._advance(end=end)
        except BaseException as error:
            self.finish(type(error).__name__.lstrip("_"))
            raise
        self._buffer.trim(self._buffer.end - self.buffer_bytes)
        if end:
            self.finish()

    def finish(self, error: str = "") -> None:
        """Record the span of this input, for a turn that is left before its end. Safe to call again.

        Args:
            error: Why; of low cardinality. Empty: nothing failed.
        """
        if self._span is not None:
            self._span.end(turn=self.turn, audio_bytes=self.offset - self._begun, error=error)

    async def hold(self, longest_s: float) -> None:
        """Keep the turn open although there is no audio, for at most ``longest_s`` after the last.

        Raises as ``append`` does.
        """
        longest_ms = int(longest_s * 1000)
        await self._attempts()(
            self.uplink.hold, self.keys, turn=self.turn, key=self.key, longest_ms=longest_ms
        )

    async def _advance(self, *, end: bool) -> bool:
        """Append the next piece. True when that was the end."""
        start = min(self.offset, self._buffer.end)
        try:
            pcm = self._buffer.read(start, self.chunk_bytes * CHUNKS_AT_ONCE)
        except BufferTruncated as error:
            raise AudioLost(self.turn, error.offset) from None
        after = start + len(pcm)
        last = end and after == self._buffer.end
        try:
            with CHUNK_SECONDS.time():
                appended = await self._append(start, pcm, end=last)
        except OffsetGap as gap:
            REWINDS.inc()
            self.offset = gap.offset
            return False
        if not self.turn:
            TURNS.labels(self.source).inc()
        SKIPPED_BYTES.inc(max(0, appended.offset - after))
        self.turn, self.offset = appended
        return last and appended.offset >= after

    async def _append(self, offset: int, pcm: bytes, *, end: bool) -> Appended:
        return await self._attempts()(
            self.uplink.append_speech,
            self.keys,
            turn=self.turn,
            key=self.key,
            offset=offset,
            pcm=pcm,
            end=end,
            barge_in=self.barge_in,
            trace=self._span.context.encode() if self._span and offset <= self._begun else "",
            source=self.source,
            fence=self.fence,
            viewer=self.viewer,
            entry_bytes=self.chunk_bytes,
            motion=self._motion_of(offset, pcm),
        )

    def _motion_of(self, offset: int, pcm: bytes) -> Sequence[Sequence[bytes]]:
        first, remainder = divmod(offset, self.chunk_bytes)
        if self.motion and remainder:
            # The key opened a turn with other chunks: an entry is appended whole or not at all.
            raise InputMismatch(self.turn, offset)
        return self.motion[first : first - (-len(pcm) // self.chunk_bytes)]

    def _attempts(self) -> AsyncRetrying:
        # The conversation existed when the turn began: a Redis without it has lost its data, and the owner is
        # about to restore it.
        return AsyncRetrying(
            retry=retry_if_exception_type((UplinkFull, Unavailable, Missing)),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(self.wait_s),
            before_sleep=lambda _state: WAITS.inc(),
            sleep=self.sleep,
            reraise=True,
        )
