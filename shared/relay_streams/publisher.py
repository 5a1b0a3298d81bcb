"""The publisher: appends owners' frames to their conversations' down streams.

What an event-loop tick appends to one conversation leaves as one atomic script call, and the calls
of all conversations of that tick leave in one write. A writer has one call under way at a time, so
what comes meanwhile gathers into the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import Counter, Gauge, Histogram

from relay_streams import scripts
from relay_streams.errors import Behind, Fenced, Missing, StoreError
from relay_streams.keys import ConversationKeys
from relay_streams.link import RECONNECT_WAIT, Link, Reply
from relay_wire.frame import Codec, Flags, Frame, Kind, encode
from relay_wire.position import START, Position
from relay_wire.turns import Publish

FRAMES = Counter("relay_publish_frames_total", "Frames appended and acknowledged.", ["kind"])
FRAME_BYTES = Counter("relay_publish_bytes_total", "Bytes of frames appended and acknowledged.", ["kind"])
RETRIES = Counter("relay_publish_retries_total", "Appends repeated because Redis could not take them.")
LOST = Counter("relay_publish_lost_total", "Writers that lost their conversation.", ["reason"])
BACKLOG = Gauge("relay_publish_backlog_bytes", "Bytes appended but not acknowledged yet.")
SECONDS = Histogram(
    "relay_publish_seconds",
    "From append to acknowledgement, of the first frame of each call.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_FRAMES = {kind: FRAMES.labels(kind.name.lower()) for kind in Kind}
_FRAME_BYTES = {kind: FRAME_BYTES.labels(kind.name.lower()) for kind in Kind}

MAX_CALL_BYTES = 2 * 1024 * 1024
"""Frames of one conversation that go into one script call: it bounds how long Redis is busy with it."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Append:
    """Frames that belong together, and the state after the last of them."""

    frames: list[bytes]
    kinds: list[Kind]
    first_seq: int
    turn: int
    turn_first: Position
    turn_before: Position
    trim_to: Position | None
    checkpoint: bytes
    up: str
    traceparent: str
    size_bytes: int
    at: float = field(default_factory=time.monotonic)


class Writer:
    """The down stream of one conversation during one owner's term. Made by ``Publisher.open``.

    Guarantee: frames appear in the order of ``append``, each once, without a hole, together with the
    checkpoint and the up cursor of their append; or the writer is lost and nothing more appears.
    """

    def __init__(
        self,
        publisher: "Publisher",
        keys: ConversationKeys,
        *,
        generation: int,
        turn: int,
        turn_first: Position,
        turn_before: Position,
        codec: Codec,
        on_lost: Callable[[StoreError], None],
    ) -> None:
        self.keys = keys
        self.generation = generation
        self.backlog_bytes = 0
        """Bytes appended but not acknowledged: what the owner looks at before it takes more."""
        self._publisher = publisher
        self._codec = codec
        self._on_lost = on_lost
        self._seq = 0
        self._turn = turn
        self._turn_first = turn_first
        self._turn_before = turn_before
        self._retained: deque[tuple[int, int]] = deque()
        self._retained_bytes = 0
        self._trimmed_to = START
        self._pending: deque[_Append] = deque()
        self._calling: list[_Append] = []
        self._failures = 0
        self._closed = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def tail(self) -> Position:
        """The position of the last frame appended, acknowledged or not."""
        return Position(self.generation, self._seq)

    def append(
        self,
        publishes: Sequence[Publish],
        *,
        checkpoint: bytes,
        up: str = "",
        traceparent: str = "",
    ) -> None:
        """Append frames. Returns at once; the write happens at the end of the tick.

        Args:
            publishes: The frames, in order; may be empty when only the state moved.
            checkpoint: The turn machine's state after them.
            up: The up entry consumed last, recorded with the audio frames made from it.
            traceparent: Recorded with the frames when the turn is sampled.

        Raises:
            FrameError: A payload is too large for a frame. Nothing was appended.
        """
        if self._closed:
            return
        published_at = time.time_ns() // 1000
        frames = [
            encode(
                Frame(
                    publish.kind,
                    Flags.END if publish.end else Flags.NONE,
                    self._codec,
                    publish.turn,
                    self.generation,
                    self._seq + index,
                    publish.media_ms,
                    published_at,
                    publish.payload,
                )
            )
            for index, publish in enumerate(publishes, start=1)
        ]
        first_seq = self._seq + 1
        for publish, frame in zip(publishes, frames, strict=True):
            self._count(publish.turn, len(frame))
        size_bytes = sum(map(len, frames))
        self.backlog_bytes += size_bytes
        BACKLOG.inc(size_bytes)
        self._pending.append(
            _Append(
                frames=frames,
                kinds=[publish.kind for publish in publishes],
                first_seq=first_seq,
                turn=self._turn,
                turn_first=self._turn_first,
                turn_before=self._turn_before,
                trim_to=self._trim_to(),
                checkpoint=checkpoint,
                up=up,
                traceparent=traceparent,
                size_bytes=size_bytes,
            )
        )
        if not self._calling:
            self._publisher.wake(self)

    async def drained(self) -> None:
        """Wait until everything appended is acknowledged, or the writer is lost. Safe to cancel."""
        while (self._pending or self._calling) and not self._closed:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def close(self) -> None:
        """Forget what is not acknowledged and write no more."""
        self._closed = True
        self._calling = []
        self._pending.clear()
        BACKLOG.dec(self.backlog_bytes)
        self.backlog_bytes = 0
        self._signal_drained()

    # --- retention -----------------------------------------------------------------------------

    def _count(self, turn: int, size_bytes: int) -> None:
        self._seq += 1
        if turn > self._turn:
            self._turn = turn
            self._turn_before, self._turn_first = self._turn_first, self.tail
        self._retained.append((self._seq, size_bytes))
        self._retained_bytes += size_bytes

    def _trim_to(self) -> Position | None:
        """The oldest frame to keep, if that changed: the turn before's first, or what the byte cap leaves."""
        while self._retained_bytes > self._publisher.retention_bytes and len(self._retained) > 1:
            self._retained_bytes -= self._retained.popleft()[1]
        oldest = self._turn_before
        if self._retained and self._retained[0][0] > 1:
            oldest = max(oldest, Position(self.generation, self._retained[0][0]))
        while self._retained and Position(self.generation, self._retained[0][0]) < oldest:
            self._retained_bytes -= self._retained.popleft()[1]
        if oldest <= self._trimmed_to:
            return None
        self._trimmed_to = oldest
        return oldest

    # --- calls ---------------------------------------------------------------------------------

    def call(self, link: Link) -> None:
        """Send what is pending as one script call, unless one is under way."""
        if self._closed or self._calling or not self._pending:
            return
        size_bytes = 0
        while self._pending and (not self._calling or size_bytes < MAX_CALL_BYTES):
            self._calling.append(self._pending.popleft())
            size_bytes += self._calling[-1].size_bytes
        self._send(link)

    def _send(self, link: Link) -> None:
        first, last = self._calling[0], self._calling[-1]
        up = next((append.up for append in reversed(self._calling) if append.up), "")
        trim_to = next((append.trim_to for append in reversed(self._calling) if append.trim_to), "")
        arguments: list[str | bytes | int] = [
            self.generation,
            first.first_seq,
            last.turn,
            str(last.turn_first),
            str(last.turn_before),
            str(trim_to),
            up,
            last.checkpoint,
        ]
        for append in self._calling:
            for kind, frame in zip(append.kinds, append.frames, strict=True):
                arguments += (frame, append.up if kind is Kind.AUDIO else "", append.traceparent)
        try:
            reply = link.submit_script(
                scripts.PUBLISH, (self.keys.meta, self.keys.down, self.keys.up), *arguments
            )
        except StoreError as error:
            self._retry(error)
            return
        reply.add_done_callback(self._settle)

    def _settle(self, reply: asyncio.Future[Reply]) -> None:
        if self._closed or reply.cancelled():
            return
        error = reply.exception()
        if error is None:
            error = _refusal(reply.result())
        if error is None:
            self._acknowledge()
        elif isinstance(error, StoreError) and error.retryable:
            self._retry(error)
        else:
            self._lose(error if isinstance(error, StoreError) else StoreError(repr(error)))

    def _acknowledge(self) -> None:
        SECONDS.observe(time.monotonic() - self._calling[0].at)
        for append in self._calling:
            self.backlog_bytes -= append.size_bytes
            BACKLOG.dec(append.size_bytes)
            for kind, frame in zip(append.kinds, append.frames, strict=True):
                _FRAMES[kind].inc()
                _FRAME_BYTES[kind].inc(len(frame))
        self._calling = []
        self._failures = 0
        if self._pending:
            self._publisher.wake(self)
        else:
            self._signal_drained()

    def _retry(self, error: StoreError) -> None:
        # The same frames under the same ids: Redis skips those it has (lua/publish.lua).
        RETRIES.inc()
        if self._failures == 0:
            log.warning("appending frames failed, repeating", conversation=self.keys.id, error=str(error))
        wait_s = RECONNECT_WAIT.compute(self._failures)
        self._failures += 1
        asyncio.get_running_loop().call_later(wait_s, self._repeat)

    def _repeat(self) -> None:
        if self._calling and not self._closed:
            self._send(self._publisher.link)

    def _lose(self, error: StoreError) -> None:
        LOST.labels(type(error).__name__.lower()).inc()
        self.close()
        self._on_lost(error)

    def _signal_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


class Publisher:
    """All writers of a process, over one link. Enter it to open the link; leaving closes it.

    Args:
        url: Where Redis is.
        timeout_s: Limit for one reply.
        retention_bytes: Frames kept per conversation, when its current and previous turn hold more.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, retention_bytes: int = 32 * 1024 * 1024) -> None:
        self.link = Link(url, name="publish", timeout_s=timeout_s)
        self.retention_bytes = retention_bytes
        self._waiting: dict[Writer, None] = {}

    async def __aenter__(self) -> Self:
        await self.link.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.link.__aexit__(kind, error, trace)

    def open(
        self,
        keys: ConversationKeys,
        *,
        generation: int,
        turn: int = 0,
        turn_first: Position = START,
        turn_before: Position = START,
        codec: Codec = Codec.PCM_S16LE,
        on_lost: Callable[[StoreError], None],
    ) -> Writer:
        """A writer for a term just claimed.

        Args:
            keys: The conversation's keys.
            generation: The term.
            turn: The turn the conversation is in, with its first position and that of the turn before.
            turn_first: See ``turn``.
            turn_before: See ``turn``.
            codec: What the audio frames carry.
            on_lost: Called once when the conversation is no longer ours: ``Fenced``, ``Missing``,
                ``Behind`` or ``Refused``. The writer is closed then.
        """
        return Writer(
            self,
            keys,
            generation=generation,
            turn=turn,
            turn_first=turn_first,
            turn_before=turn_before,
            codec=codec,
            on_lost=on_lost,
        )

    def wake(self, writer: Writer) -> None:
        """Let the writer send at the end of this tick."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting[writer] = None

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for writer in waiting:
            writer.call(self.link)


def _refusal(reply: Reply) -> StoreError | None:
    match reply[0]:
        case b"ok":
            return None
        case b"fenced":
            return Fenced(int(reply[1]))
        case b"behind":
            return Behind(int(reply[1]))
        case _:
            return Missing("the conversation's record is gone")
