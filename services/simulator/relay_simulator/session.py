"""Sessions: one connected client of Motion Server; hears audio, answers motion, request after request."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import structlog
from aiohttp import WSMsgType, web
from prometheus_client import Counter

from relay_runtime.tasks import TaskScope
from relay_simulator import messages
from relay_simulator.faults import Fault
from relay_simulator.motion import NEXT_WINDOW_MS, Request, Window

PAYLOADS = Counter("relay_simulator_payloads_total", "Motion payloads sent.")

FIRST_ANSWER_S = 0.4
"""From enough audio to the first motion (facts 12, assumed there)."""
GENERATION_SPEED = 8
"""Motion comes so many times faster than it plays (facts 3)."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RequestLog:
    """What was answered to one request: the truth tests compare with."""

    connection_id: str
    avatar_id: str
    req_id: str
    sample_rate: int
    audio_bytes: int = 0
    payloads: int = 0
    motion_bytes: int = 0
    ended: bool = False
    payload_sha256: list[str] = field(default_factory=list)
    """Of each payload, whole, in order."""

    def shown(self) -> dict[str, Any]:
        """For the admin resource."""
        return asdict(self)


class Strike(Protocol):
    """Lets a fault happen instead of sending a window; returns whether it goes on at the next."""

    def __call__(
        self, session: "Session", fault: Fault, entry: RequestLog, window: Window, /
    ) -> Awaitable[bool]: ...


class Session:
    """One session.

    Args:
        websocket: After the handshake.
        transport: Under it, to be rude with.
        connection_id: As confirmed.
        avatar_id: As asked for.
        sample_rate: As configured.
        seed: Decides the motion.
        speed: Divides every wait.
        fault: What goes wrong, and when.
        strike: Lets a fault happen instead of a window; returns whether it goes on at the next.
        requests: Where to log what is answered.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        connection_id: str,
        avatar_id: str,
        sample_rate: int,
        seed: int,
        speed: float,
        fault: Fault | None,
        strike: Strike,
        requests: deque[RequestLog],
    ) -> None:
        self.websocket = websocket
        self.transport = transport
        self.connection_id = connection_id
        self.silent = False
        """Whether it answers no more, by a fault."""
        self._avatar_id = avatar_id
        self._sample_rate = sample_rate
        self._seed = seed
        self._speed = speed
        self._fault = fault
        self._strike = strike
        self._log = requests
        self._requests: dict[str, tuple[Request, RequestLog]] = {}
        self._answers: asyncio.Queue[tuple[RequestLog, Window]] = asyncio.Queue()
        self._sent = 0

    def break_down(self, fault: Fault) -> None:
        """Let a fault strike once it is due."""
        self._fault = fault

    def shown(self) -> dict[str, Any]:
        """For the admin resource."""
        return {
            "connection_id": self.connection_id,
            "avatar_id": self._avatar_id,
            "sample_rate": self._sample_rate,
            "payloads": self._sent,
        }

    async def serve(self) -> None:
        """Hear audio until the socket closes."""
        async with TaskScope() as tasks:
            tasks.spawn(self._answer(), name=f"answer-{self.connection_id}")
            async for raw in self.websocket:
                message = messages.parse(raw.data) if raw.type is WSMsgType.BINARY else None
                if message is not None and message.type == messages.AUDIO_INPUT:
                    self._hear(message.client_audio_input)

    async def send(self, entry: RequestLog, payload: bytes) -> None:
        """Send a payload and log it as the truth."""
        self._sent += 1
        PAYLOADS.inc()
        entry.payloads += 1
        entry.motion_bytes += len(payload)
        entry.payload_sha256.append(hashlib.sha256(payload).hexdigest())
        entry.ended = messages.is_end(payload)
        await self.websocket.send_bytes(payload)

    def _hear(self, audio: Any) -> None:
        if audio.req_id not in self._requests:
            entry = RequestLog(self.connection_id, self._avatar_id, audio.req_id, self._sample_rate)
            self._requests[audio.req_id] = Request(self._seed, audio.req_id, self._sample_rate), entry
            self._log.append(entry)
        request, entry = self._requests[audio.req_id]
        for window in request.hear(audio.audio, end=audio.end):
            self._answers.put_nowait((entry, window))
        entry.audio_bytes = request.audio_bytes
        if audio.end:
            del self._requests[audio.req_id]

    async def _answer(self) -> None:
        while True:
            entry, window = await self._answers.get()
            wait_s = FIRST_ANSWER_S if window.first else NEXT_WINDOW_MS / 1000 / GENERATION_SPEED
            await asyncio.sleep(wait_s / self._speed)
            if self.websocket.closed:
                return
            fault = self._fault
            if fault is not None and self._sent >= fault.after_payloads:
                log.info("fault strikes", fault=fault.fault, connection_id=self.connection_id)
                if not await self._strike(self, fault, entry, window):
                    self._fault = None
            elif not self.silent:
                await self.send(entry, self.payload(entry, window))

    def payload(self, entry: RequestLog, window: Window) -> bytes:
        """What is sent when nothing goes wrong."""
        return messages.animation(self.connection_id, entry.req_id, window.motion, end=window.last)
