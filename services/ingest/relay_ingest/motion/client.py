"""Motion: one conversation's way to Motion Server, one session at a time, reused across turns.

The shell around the Server SDK. What the owner says is queued and sent by one task, since the SDK's
``send_audio`` may not be called twice at once (facts 1.5); what the SDK calls back arrives at the
owner at once, on the event loop, with its request id (facts 1.6). A session is opened when there is
audio to send, closed when idle, replaced between turns before its time is up, and dropped at its
first failure: the SDK never reconnects (facts 1.4).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram
from spatius import AvatarSession
from spatius.proto.generated import message_pb2
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from relay_ingest.motion.failures import CLOSED_SILENTLY, HELD, OUTBOX_FULL, PHASES, SENTENCES, MotionFailure
from relay_ingest.motion.vendor import Vendor
from relay_settings.ingest import IngestSettings
from relay_telemetry.counter import counter

SESSIONS = Gauge("relay_motion_sessions", "Motion sessions open or opening: seats in use.")
OPENED = Counter("relay_motion_opened_total", "Motion sessions opened.")
CONNECTED_SECONDS = Counter("relay_motion_connected_seconds_total", "Connected time, which the vendor bills.")
FAILURES = counter(
    "relay_motion_failures_total", "Motion failures, by the vendor's codes.", code=SENTENCES, phase=PHASES
)
PAYLOADS = Counter("relay_motion_payloads_total", "Motion payloads received.")
PAYLOAD_BYTES = Counter("relay_motion_payload_bytes_total", "Bytes of motion payloads received.")
CALLBACK_DEFECTS = Counter("relay_motion_callback_defects_total", "Exceptions in SDK callbacks, ours.")
OPEN_SECONDS = Histogram(
    "relay_motion_open_seconds",
    "From the wish for a session to its handshake.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)

OPEN_ATTEMPTS = 2
"""Tries to open a session for a turn; each mints a token of its own (facts 2.1)."""
MESSAGE_BYTES = 32 * 1024
"""Most audio in one message to Motion Server, which wants it as fast as it comes (facts 3): one second at
16 kHz. Speech that is there at once went in ten times as many messages, and they were a third of ingest."""
FINAL_HOLD_S = 30.0
"""After a failure that only a human can mend, no session is tried for so long."""

log = structlog.get_logger(__name__)


class MotionListener(Protocol):
    """Who hears of motion. Called on the event loop, in order; must not block."""

    def request_opened(self, turn: int, req_id: str) -> None:
        """Motion Server knows the turn's request by this id."""

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """A payload, byte for byte as the vendor sent it."""

    def motion_failed(self, failure: MotionFailure) -> None:
        """No more motion comes for what was sent so far."""


class _Chunk(NamedTuple):
    turn: int
    pcm: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Bounds of one conversation's Motion sessions."""

    idle_s: float
    session_s: float
    close_s: float
    outbox_bytes: int

    @classmethod
    def of(cls, settings: IngestSettings) -> "MotionLimits":
        """As the settings have them."""
        return cls(
            idle_s=settings.motion_idle_s,
            session_s=settings.motion_session_s,
            close_s=settings.motion_close_s,
            outbox_bytes=settings.motion_outbox_bytes,
        )


class _Failed(Exception):
    def __init__(self, failure: MotionFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class _Session:
    """One SDK session and its callbacks, deaf from the moment we decide to close it."""

    def __init__(self, motion: "MotionClient", vendor: Vendor, avatar_id: str, sample_rate: int) -> None:
        self.usable = True
        self.failure: MotionFailure | None = None
        self.opened_at = 0.0
        self._motion = motion
        self._vendor = vendor
        self.sdk: AvatarSession = vendor.session(
            avatar_id=avatar_id,
            sample_rate=sample_rate,
            transport_frames=self._on_frames,
            on_error=self._on_error,
            on_close=self._on_close,
        )

    def fail(self, failure: MotionFailure) -> None:
        """Use it no more. The first failure counts."""
        if self.usable:
            self.usable = False
            self.failure = failure
            self._motion.wake()

    def _on_frames(self, payload: bytes, last: bool) -> None:  # noqa: FBT001  # the SDK's signature
        if not self.usable:
            return
        try:
            self._motion.receive(payload, last=last)
        except Exception as error:  # the SDK would swallow it (facts 1.7)
            CALLBACK_DEFECTS.inc()
            log.exception("a motion payload could not be handled")
            self.fail(self._vendor.failure(error))

    def _on_error(self, error: Exception) -> None:
        self.fail(self._vendor.failure(error))

    def _on_close(self) -> None:
        self.fail(CLOSED_SILENTLY)


class MotionClient:
    """A conversation's Motion sessions, one at a time.

    ``speak`` and ``abandon`` return at once. At most ``outbox_bytes`` wait to be sent; beyond that
    Motion Server counts as failed, because input to it must never be paced.

    Args:
        vendor: Makes sessions.
        avatar_id: The conversation's avatar.
        sample_rate: Its sample rate.
        listener: Who hears of motion.
        limits: The bounds.
        conversation: For the log.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        avatar_id: str,
        sample_rate: int,
        listener: MotionListener,
        limits: MotionLimits,
        conversation: str,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._vendor = vendor
        self._avatar_id = avatar_id
        self._sample_rate = sample_rate
        self._listener = listener
        self._limits = limits
        self._log = log.bind(conversation=conversation)
        self._spawn = spawn
        self._coalescer: deque[_Chunk] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._open_turn = 0
        """The turn whose request is open at Motion Server, 0 when none is."""
        self._ending = False
        """Whether the chunk being sent closes that request."""
        self._request: str | None = None
        self._announced: deque[str] = deque(maxlen=8)
        self._held_until = 0.0

    def speak(self, turn: int, pcm: bytes, *, end: bool) -> None:
        """Send audio of a turn, after what was said before."""
        now = asyncio.get_running_loop().time()
        if now < self._held_until:
            self._refuse(
                MotionFailure(HELD, "no session is tried yet after a final failure", "held", retryable=True)
            )
            return
        if self._outbox_bytes + len(pcm) > self._limits.outbox_bytes:
            self.close()
            self._refuse(
                MotionFailure(OUTBOX_FULL, "Motion Server takes no audio", "websocket_send", retryable=True)
            )
            return
        self._coalescer.append(_Chunk(turn, pcm, end))
        self._outbox_bytes += len(pcm)
        self.wake()
        if self._task is None:
            self._task = self._spawn(self._run())

    def abandon(self, turn: int) -> None:
        """Want no more motion of a turn: drop what waits, end its request so that the next has its own."""
        self._coalescer = deque(chunk for chunk in self._coalescer if chunk.turn != turn)
        self._outbox_bytes = sum(len(chunk.pcm) for chunk in self._coalescer)
        if self._open_turn == turn and not self._ending and self._task is not None:
            self._coalescer.append(_Chunk(turn, b"", end=True))
            self.wake()

    def close(self) -> None:
        """Let the session go; another is opened when there is audio again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._drop_outbox()

    def wake(self) -> None:
        """Let the sending task look again: there is audio, or its session broke."""
        self._wake.set()

    def receive(self, payload: bytes, *, last: bool) -> None:
        """A payload arrived from the session in use."""
        PAYLOADS.inc()
        PAYLOAD_BYTES.inc(len(payload))
        req_id = message_pb2.Message.FromString(payload).server_response_animation.req_id
        if self._request is None and self._open_turn and req_id not in self._announced:
            # The answer overtook the return of the send that opened the request.
            self._announce(req_id)
        self._listener.motion(req_id, payload, last=last)

    # --- the sending task ----------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._coalescer:
                await self._one_session()
        except _Failed as failed:
            self._task = None
            self._drop_outbox()
            self._report(failed.failure)
        else:
            self._task = None

    async def _one_session(self) -> None:
        """Open a session and send until it is idle, old or broken."""
        loop = asyncio.get_running_loop()
        SESSIONS.inc()
        session: _Session | None = None
        try:
            session = await self._open()
            await self._send_all(session)
        finally:
            SESSIONS.dec()
            self._no_request()
            if session is not None:
                CONNECTED_SECONDS.inc(loop.time() - session.opened_at)
                self._let_go(session)

    async def _open(self) -> _Session:
        started = asyncio.get_running_loop().time()
        attempts = AsyncRetrying(
            stop=stop_after_attempt(OPEN_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=1),
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and error.failure.retryable),
            reraise=True,
        )
        session: _Session = await attempts(self._open_once)
        OPENED.inc()
        session.opened_at = asyncio.get_running_loop().time()
        OPEN_SECONDS.observe(session.opened_at - started)
        return session

    async def _open_once(self) -> _Session:
        session = _Session(self, self._vendor, self._avatar_id, self._sample_rate)
        try:
            await session.sdk.init()
            connection_id = await session.sdk.start()
        except asyncio.CancelledError:
            # A cancelled start leaves its socket open (facts 1.4).
            self._let_go(session)
            raise
        except Exception as error:  # the SDK raises three families of them
            self._let_go(session)
            raise _Failed(self._vendor.failure(error, opening=True)) from error
        self._log.info("motion session opened", connection_id=connection_id)
        return session

    async def _send_all(self, session: _Session) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not await self._has_chunk(session):
                return
            if not self._open_turn and loop.time() - session.opened_at > self._limits.session_s:
                self._log.info("motion session is old, opening another")
                return
            await self._send(session, self._take())

    async def _has_chunk(self, session: _Session) -> bool:
        """Wait for a chunk in the outbox; False when the session has been idle too long."""
        while True:
            if session.failure is not None:
                raise _Failed(session.failure)
            if self._coalescer:
                return True
            self._wake.clear()
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    await self._wake.wait()
            except TimeoutError:
                self._log.info("motion session is idle, closing")
                return False

    async def _send(self, session: _Session, chunk: _Chunk) -> None:
        if chunk.turn != self._open_turn:
            self._open_turn = chunk.turn
            self._request = None
        self._ending = chunk.end
        try:
            req_id = await session.sdk.send_audio(chunk.pcm, end=chunk.end)
        except Exception as error:  # the SDK raises three families of them
            raise _Failed(session.failure or self._vendor.failure(error)) from error
        if self._request is None:
            self._announce(req_id)
        if chunk.end:
            self._no_request()

    def _no_request(self) -> None:
        self._open_turn = 0
        self._ending = False
        self._request = None

    def _announce(self, req_id: str) -> None:
        self._request = req_id
        self._announced.append(req_id)
        self._listener.request_opened(self._open_turn, req_id)

    def _take(self) -> _Chunk:
        """The next chunk, joined with those of its turn that wait behind it."""
        taken = [self._coalescer.popleft()]
        size_bytes = len(taken[0].pcm)
        while self._coalescer and not taken[-1].end:
            following = self._coalescer[0]
            size_bytes += len(following.pcm)
            if following.turn != taken[0].turn or size_bytes > MESSAGE_BYTES:
                break
            taken.append(self._coalescer.popleft())
        self._outbox_bytes -= sum(len(chunk.pcm) for chunk in taken)
        return _Chunk(taken[0].turn, b"".join(chunk.pcm for chunk in taken), taken[-1].end)

    def _drop_outbox(self) -> None:
        self._coalescer.clear()
        self._outbox_bytes = 0

    def _refuse(self, failure: MotionFailure) -> None:
        # Not from inside the owner's own call: it is still performing the effect that said `speak`.
        asyncio.get_running_loop().call_soon(self._report, failure)

    def _report(self, failure: MotionFailure) -> None:
        FAILURES.labels(failure.code, failure.phase).inc()
        self._log.warning("motion failed", code=failure.code, phase=failure.phase, error=failure.detail)
        if not failure.retryable:
            self._held_until = asyncio.get_running_loop().time() + FINAL_HOLD_S
        self._listener.motion_failed(failure)

    # --- closing -------------------------------------------------------------------------------

    def _let_go(self, session: _Session) -> None:
        """Close a session in the background: against a frozen peer it takes 10 s (facts 1.7)."""
        session.usable = False
        self._spawn(self._close(session.sdk))

    async def _close(self, sdk: AvatarSession) -> None:
        try:
            async with asyncio.timeout(self._limits.close_s):
                await sdk.close()
        except TimeoutError:
            # The second close returns at once and drops what is left (facts 1.7).
            await sdk.close()
        except Exception as error:  # noqa: BLE001  # the session is over, whatever the SDK raises
            failure = self._vendor.failure(error)
            self._log.warning("a motion session could not be closed", code=failure.code, error=failure.detail)
