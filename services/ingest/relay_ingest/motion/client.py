"""Motion client: one conversation's requests to Motion Server, on one Motion session at a time.

Speech of the owner is queued and sent by one task, since the SDK's ``send_audio`` may not be called twice at
once (facts 1.5); payloads of the SDK reach the owner at once, on the event loop, with their request id (facts
1.6). A session is acquired when there is audio to send, and released when it is idle, when it is due for
replacement between two turns, and at its first failure.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog

from relay_ingest.motion.failures import HELD, MESSAGES, PHASES, QUEUE_FULL, MotionFailed, MotionFailure
from relay_ingest.motion.pool import MotionPool, Priority
from relay_ingest.motion.session import MotionConversation, MotionSession
from relay_settings.ingest import IngestSettings
from relay_telemetry.counter import counter

FAILURES = counter(
    "relay_motion_failures_total", "Motion failures, by the vendor's codes.", code=MESSAGES, phase=PHASES
)

MESSAGE_BYTES = 32 * 1024
"""Most audio in one message to Motion Server, which accepts it at any speed (facts 3): one second at 16 kHz.
Without joining, speech that arrives at once needs ten times the messages, a third of ingest's CPU."""
FINAL_HOLD_S = 30.0
"""How long no session is opened after a failure that only an operator can resolve."""

log = structlog.get_logger(__name__)


class MotionListener(Protocol):
    """Receiver of a conversation's motion. Called on the event loop, in order; must not block."""

    def session_opened(self, session: str, at: float) -> None:
        """Handle the Motion session that serves the conversation from now on, opened at this moment."""

    def session_closed(self) -> None:
        """Handle that the session serves it no more."""

    def request_opened(self, turn: int, req_id: str) -> None:
        """Handle the id of the turn's request at Motion Server. Called before the request's first payload."""

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """Handle a payload, byte for byte as the vendor sent it."""

    def motion_failed(self, failure: MotionFailure) -> None:
        """Handle a failure: no further motion arrives for the audio sent so far."""


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Bounds of one conversation's use of Motion Server."""

    idle_s: float
    """How long a session may be without audio to send."""
    session_s: float
    """The age at which a session is replaced."""
    queue_bytes: int
    """Most audio that waits to be sent."""

    @classmethod
    def of(cls, settings: IngestSettings) -> "MotionLimits":
        """Read the limits from the settings."""
        return cls(
            idle_s=settings.motion_idle_s,
            session_s=settings.motion_session_s,
            queue_bytes=settings.motion_outbox_bytes,
        )


class _Chunk(NamedTuple):
    turn: int
    pcm: bytes
    end: bool


class MotionClient:
    """One conversation's turns at Motion Server.

    ``send_audio`` and ``abandon`` return at once. At most ``queue_bytes`` wait to be sent; beyond that Motion
    Server counts as failed, because input to it must never be paced.

    Args:
        pool: The source of sessions.
        conversation: The conversation.
        listener: Receives motion.
        limits: The bounds.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        pool: MotionPool,
        conversation: MotionConversation,
        *,
        listener: MotionListener,
        limits: MotionLimits,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._pool = pool
        self._conversation = conversation
        self._listener = listener
        self._limits = limits
        self._log = log.bind(conversation=conversation.id)
        self._spawn = spawn
        self._send_queue: deque[_Chunk] = deque()
        self._queued_bytes = 0
        self._changed = asyncio.Event()
        """Set when there is audio to send, or the session has failed."""
        self._sender: asyncio.Task[None] | None = None
        self._open_turn = 0
        """The turn whose request is open at Motion Server, 0 when none is."""
        self._ending = False
        """Whether the chunk being sent ends that request."""
        self._request: str | None = None
        self._announced: deque[str] = deque(maxlen=8)
        self._held_until = 0.0
        self._refused_turn = 0
        """The last turn whose audio was refused: one failure is reported for all of its chunks."""

    def send_audio(self, turn: int, pcm: bytes, *, end: bool) -> None:
        """Queue audio of a turn, behind all audio queued before; ``end`` ends the turn's request.

        Audio that cannot be queued is one failure of its turn, whose further audio is discarded.
        """
        if turn == self._refused_turn:
            return
        now = asyncio.get_running_loop().time()
        if now < self._held_until:
            failure = MotionFailure(HELD, "not tried again yet after a final failure", "held", retryable=True)
            self._refuse(turn, failure)
            return
        if self._queued_bytes + len(pcm) > self._limits.queue_bytes:
            self.close()
            self._refuse(
                turn,
                MotionFailure(QUEUE_FULL, "Motion Server accepts no audio", "websocket_send", retryable=True),
            )
            return
        self._send_queue.append(_Chunk(turn, pcm, end))
        self._queued_bytes += len(pcm)
        self._changed.set()
        if self._sender is None:
            self._sender = self._spawn(self._run())

    def abandon(self, turn: int) -> None:
        """Discard the turn's queued audio, and end its request so that the next turn opens one of its own."""
        self._send_queue = deque(chunk for chunk in self._send_queue if chunk.turn != turn)
        self._queued_bytes = sum(len(chunk.pcm) for chunk in self._send_queue)
        if self._open_turn == turn and not self._ending and self._sender is not None:
            self._send_queue.append(_Chunk(turn, b"", end=True))
            self._changed.set()

    def close(self) -> None:
        """Release the session and discard queued audio. ``send_audio`` acquires another session."""
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        self._clear_queue()

    # --- callbacks of the session --------------------------------------------------------------

    def payload_received(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """Part of ``SessionListener``."""
        if self._request is None and self._open_turn and req_id not in self._announced:
            # The answer arrived before the send that opened the request returned.
            self._announce(req_id)
        self._listener.motion(req_id, payload, last=last)

    def session_failed(self) -> None:
        """Part of ``SessionListener``."""
        self._changed.set()

    # --- the sending task ----------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._send_queue:
                await self._use_session()
        except MotionFailed as failed:
            self._sender = None
            self._clear_queue()
            self._report(failed.failure)
        else:
            self._sender = None

    async def _use_session(self) -> None:
        """Acquire a session and send until it is idle, due for replacement or failed."""
        session = await self._pool.acquire(self._conversation, Priority.TURN)
        session.attach(self)
        self._listener.session_opened(session.id, session.opened_at)
        try:
            await self._send_all(session)
        finally:
            self._end_request()
            self._listener.session_closed()
            self._pool.release(session)

    async def _send_all(self, session: MotionSession) -> None:
        loop = asyncio.get_running_loop()
        while await self._wait_for_chunk(session):
            if not self._open_turn and loop.time() - session.opened_at > self._limits.session_s:
                self._log.info("motion session rotated")
                return
            await self._send(session, self._dequeue())

    async def _wait_for_chunk(self, session: MotionSession) -> bool:
        """Wait for queued audio; False when there was none for ``idle_s``. Raises ``MotionFailed``."""
        while True:
            if session.failure is not None:
                raise MotionFailed(session.failure)
            if self._send_queue:
                return True
            self._changed.clear()
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    await self._changed.wait()
            except TimeoutError:
                self._log.info("motion session idle, closing")
                return False

    async def _send(self, session: MotionSession, chunk: _Chunk) -> None:
        if chunk.turn != self._open_turn:
            self._open_turn = chunk.turn
            self._request = None
        self._ending = chunk.end
        req_id = await session.send(chunk.pcm, end=chunk.end)
        if self._request is None:
            self._announce(req_id)
        if chunk.end:
            self._end_request()

    def _end_request(self) -> None:
        self._open_turn = 0
        self._ending = False
        self._request = None

    def _announce(self, req_id: str) -> None:
        self._request = req_id
        self._announced.append(req_id)
        self._listener.request_opened(self._open_turn, req_id)

    def _dequeue(self) -> _Chunk:
        """The next chunk, joined with those of its turn queued behind it, up to ``MESSAGE_BYTES``."""
        chunks = [self._send_queue.popleft()]
        size_bytes = len(chunks[0].pcm)
        while self._send_queue and not chunks[-1].end:
            following = self._send_queue[0]
            size_bytes += len(following.pcm)
            if following.turn != chunks[0].turn or size_bytes > MESSAGE_BYTES:
                break
            chunks.append(self._send_queue.popleft())
        self._queued_bytes -= sum(len(chunk.pcm) for chunk in chunks)
        return _Chunk(chunks[0].turn, b"".join(chunk.pcm for chunk in chunks), chunks[-1].end)

    def _clear_queue(self) -> None:
        self._send_queue.clear()
        self._queued_bytes = 0

    # --- failures ------------------------------------------------------------------------------

    def _refuse(self, turn: int, failure: MotionFailure) -> None:
        self._refused_turn = turn
        # After the owner's call has returned: it is still performing the effect that called `send_audio`.
        asyncio.get_running_loop().call_soon(self._report, failure)

    def _report(self, failure: MotionFailure) -> None:
        FAILURES.labels(failure.code, failure.phase).inc()
        if not failure.retryable:
            self._held_until = asyncio.get_running_loop().time() + FINAL_HOLD_S
        self._listener.motion_failed(failure)
