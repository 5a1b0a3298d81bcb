"""Speech: one speaker's way into a conversation's uplink, each byte exactly once.

The store's offset leads. When it is ahead, another attempt at the same turn was faster, and what is in
is skipped; when it is behind, Redis has lost the end of the turn, and what is kept of it is said again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from relay_redis.errors import Unavailable
from relay_streams.errors import AudioLost, Missing, OffsetGap, UplinkFull
from relay_streams.keys import ConversationKeys
from relay_streams.uplink import Appended, SpeakerFence, TurnInputState, Uplink
from relay_telemetry.counter import counter
from relay_wire.send_buffer import BufferTruncated, SendBuffer

DOORS = ("post", "socket", "viewer", "agent")
"""Where speech comes from."""
TURNS = counter("relay_speech_turns_total", "Turns spoken; going on with one counts again.", door=DOORS)
AUDIO_BYTES = counter("relay_speech_audio_bytes_total", "Speech taken.", door=DOORS)
WAITS = Counter("relay_speech_waits_total", "Pieces that had to wait for room or for Redis.")
SKIPPED_BYTES = Counter("relay_speech_skipped_bytes_total", "Speech given again that was in already.")
REWINDS = Counter("relay_speech_rewinds_total", "Times Redis had lost speech and it was said again.")
CHUNK_SECONDS = Histogram(
    "relay_speech_chunk_seconds",
    "From a piece of speech to its place in the uplink.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 10),
)

CHUNKS_AT_ONCE = 16
"""What is given at once goes in by so many chunks: fewer commands, and none that holds Redis for long."""


def new_key() -> str:
    """A key for an opening that brings none: so that the door may repeat it."""
    return secrets.token_urlsafe(12)


@dataclass(slots=True)
class TurnInput:
    """One turn being spoken.

    Args:
        uplink: Where it goes.
        keys: The conversation.
        door: Who speaks, for the metrics: one of ``DOORS``.
        wait_s: How long a piece may wait for room, or for Redis, before it fails.
        chunk_bytes: Longest entry of the uplink; what is given at once is cut into these.
        tail_bytes: How much of what is in is kept, in case Redis loses it.
        key: What the turn is opened with.
        barge_in: Cancel what is spoken or waits, instead of waiting for it.
        traceparent: The turn's trace context.
        term: For an owner's agent.
        viewer: Whether a viewer speaks.
        sleep: Waits from one attempt to the next; what it raises ends the piece, with no attempt under way.
    """

    uplink: Uplink
    keys: ConversationKeys
    door: str
    wait_s: float
    chunk_bytes: int
    tail_bytes: int
    key: str
    barge_in: bool = False
    traceparent: str = ""
    term: SpeakerFence | None = None
    viewer: bool = False
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    turn: int = 0
    """Known once the first chunk is in."""
    offset: int = 0
    """Bytes that are in."""
    _tail: SendBuffer = field(default_factory=SendBuffer)

    def go_on(self, found: TurnInputState) -> None:
        """Say what follows a turn's input, instead of opening one."""
        self.turn, self.offset, _, self.key = found
        self._tail = SendBuffer(found.offset)
        TURNS.labels(self.door).inc()

    async def say(self, pcm: bytes, *, end: bool = False) -> None:
        """Append audio, waiting for room if need be. With ``end`` the turn is complete with it.

        Raises:
            Busy: Another turn is open; only for the first chunk.
            Closed: The turn was interrupted.
            Mismatch: The turn has other audio: another length under the same key.
            Forgotten: Redis lost more than is kept.
            Full: There was no room in time.
            Unavailable: Redis could not take it in time. Whether it is in is unknown.
            Missing: Redis lost the conversation, and nobody restored it in time.
            Ended: It is over.
            Fenced: The agent's owner has been replaced.

        Cancelling is safe: what is in is in once. Do not use the object after an error.
        """
        AUDIO_BYTES.labels(self.door).inc(len(pcm))
        self._tail.add(pcm)
        ended = False
        while self.offset < self._tail.end or (end and not ended):
            ended = await self._advance(end=end)
        self._tail.trim(self._tail.end - self.tail_bytes)

    async def hold(self, longest_s: float) -> None:
        """Keep the turn open though there is no audio now, at most so long after the last.

        Raises as ``say`` does.
        """
        longest_ms = int(longest_s * 1000)
        await self._attempts()(
            self.uplink.hold, self.keys, turn=self.turn, key=self.key, longest_ms=longest_ms
        )

    async def _advance(self, *, end: bool) -> bool:
        """Say what comes next. True when that was the end."""
        start = min(self.offset, self._tail.end)
        try:
            pcm = self._tail.read(start, self.chunk_bytes * CHUNKS_AT_ONCE)
        except BufferTruncated as error:
            raise AudioLost(self.turn, error.offset) from None
        after = start + len(pcm)
        last = end and after == self._tail.end
        try:
            with CHUNK_SECONDS.time():
                spoken = await self._appended(start, pcm, end=last)
        except OffsetGap as missed:
            REWINDS.inc()
            self.offset = missed.offset
            return False
        if not self.turn:
            TURNS.labels(self.door).inc()
        SKIPPED_BYTES.inc(max(0, spoken.offset - after))
        self.turn, self.offset = spoken
        return last and spoken.offset >= after

    async def _appended(self, offset: int, pcm: bytes, *, end: bool) -> Appended:
        return await self._attempts()(
            self.uplink.speak,
            self.keys,
            turn=self.turn,
            key=self.key,
            offset=offset,
            pcm=pcm,
            end=end,
            barge_in=self.barge_in,
            traceparent=self.traceparent,
            term=self.term,
            viewer=self.viewer,
            entry_bytes=self.chunk_bytes,
        )

    def _attempts(self) -> AsyncRetrying:
        # The conversation was there when its door opened: a store that misses it has lost its data, and
        # the owner is about to restore it.
        return AsyncRetrying(
            retry=retry_if_exception_type((UplinkFull, Unavailable, Missing)),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(self.wait_s),
            before_sleep=lambda _state: WAITS.inc(),
            sleep=self.sleep,
            reraise=True,
        )
