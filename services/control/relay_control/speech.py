"""Speech: one speaker's way into a conversation's uplink, chunk by chunk, each exactly once."""

from dataclasses import dataclass

from prometheus_client import Counter, Histogram
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from relay_streams.errors import Unavailable
from relay_streams.keys import ConversationKeys
from relay_streams.uplink import Full, Spoken, Uplink

TURNS = Counter("relay_control_turns_total", "Turns opened.", ["door"])
AUDIO_BYTES = Counter("relay_control_audio_bytes_total", "Speech taken from backends.", ["door"])
WAITS = Counter("relay_control_uplink_waits_total", "Chunks that had to wait for room or for Redis.")
CHUNK_SECONDS = Histogram(
    "relay_control_chunk_seconds",
    "From a chunk of speech to its place in the uplink.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 10),
)


@dataclass(slots=True)
class Speech:
    """One turn being spoken.

    Args:
        uplink: Where it goes.
        keys: The conversation.
        door: ``post`` or ``socket``, for the metrics.
        wait_s: How long a chunk may wait for room, or for Redis, before it fails.
        barge_in: Cancel what is spoken or waits, instead of waiting for it.
        traceparent: The turn's trace context.
    """

    uplink: Uplink
    keys: ConversationKeys
    door: str
    wait_s: float
    barge_in: bool = False
    traceparent: str = ""
    turn: int = 0
    """Known once the first chunk is in."""
    offset: int = 0
    """Bytes that are in."""

    async def say(self, pcm: bytes, *, end: bool = False) -> None:
        """Append a chunk, waiting for room if need be.

        Raises:
            Busy: Another turn is open; only for the first chunk.
            Closed: The turn was interrupted or ended.
            Full: There was no room in time.
            Unavailable: Redis could not take it in time. Whether it is in is unknown.
            Missing: There is no such conversation.
            Ended: It is over.

        Cancelling is safe: the chunk is in or not, and saying it again does not repeat it.
        """
        with CHUNK_SECONDS.time():
            spoken = await self._appended(pcm, end=end)
        if not self.turn:
            TURNS.labels(self.door).inc()
        AUDIO_BYTES.labels(self.door).inc(len(pcm))
        self.turn, self.offset = spoken

    async def _appended(self, pcm: bytes, *, end: bool) -> Spoken:
        # Opening is not repeated after an unknown outcome: it might open two turns.
        again = (Full,) if not self.turn else (Full, Unavailable)
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(again),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(self.wait_s),
            before_sleep=lambda _state: WAITS.inc(),
            reraise=True,
        )
        return await attempts(
            self.uplink.speak,
            self.keys,
            turn=self.turn,
            offset=self.offset,
            pcm=pcm,
            end=end,
            barge_in=self.barge_in,
            traceparent=self.traceparent,
        )


def chunks(pcm: bytes, size_bytes: int) -> list[bytes]:
    """Cut PCM into frames' worth."""
    return [pcm[start : start + size_bytes] for start in range(0, len(pcm), size_bytes)]
