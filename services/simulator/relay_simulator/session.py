"""Sessions of Motion Server: receive the audio of requests and send their motion."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Protocol

import structlog
from aiohttp import WSMsgType, web
from prometheus_client import Counter

from relay_runtime.tasks import TaskScope
from relay_simulator import messages
from relay_simulator.audio import UnreadableAudio, audio
from relay_simulator.egress import INVALID_ARGUMENT
from relay_simulator.faults import Fault, Faults
from relay_simulator.handshake import Configuration
from relay_simulator.lifetime import ROOM_LOST, Ending, Lifetime, Limits, idle
from relay_simulator.motion import NEXT_WINDOW_MS, Request, Window
from relay_simulator.playback import END, Playback
from relay_simulator.request_log import RequestLog
from relay_simulator.room import Participant

PAYLOADS = Counter("relay_simulator_payloads_total", "Motion payloads sent.")
UNREADABLE = Counter("relay_simulator_unreadable_audio_total", "Requests whose audio was not in its format.")

FIRST_ANSWER_S = 0.4
"""From the audio of a first window to the first motion (facts 12, assumed there)."""
GENERATION_SPEED = 8
"""Motion arrives this many times faster than it plays (facts 3)."""
_WAITING_WINDOWS = 256
"""Most windows that wait to be sent; at the limit the socket is not read."""
_CLOSED_IDS = 64
"""Most requests that were closed before their end arrived; their further audio is dropped."""

log = structlog.get_logger(__name__)


class PerformFault(Protocol):
    """Performs a fault instead of sending a window. Returns whether it continues at the next window."""

    def __call__(
        self, session: "Session", fault: Fault, entry: RequestLog, window: Window, /
    ) -> Awaitable[bool]: ...


class Session:
    """One session.

    Args:
        websocket: The WebSocket, after the handshake.
        transport: The transport of the WebSocket, for faults.
        participant: The participant in the room of the egress.
        connection_id: The confirmed connection id.
        avatar_id: The requested avatar.
        configuration: The client's configuration.
        limits: The limits of the session's duration.
        seed: The seed of the motion.
        faults: The armed faults.
        perform_fault: Performs a fault instead of sending a window.
        requests: The log of requests and their answers.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        participant: Participant,
        *,
        connection_id: str,
        avatar_id: str,
        configuration: Configuration,
        limits: Limits,
        seed: int,
        faults: Faults,
        perform_fault: PerformFault,
        requests: deque[RequestLog],
    ) -> None:
        self.websocket = websocket
        self.transport = transport
        self.connection_id = connection_id
        self.silent = False
        """Whether a fault has stopped all answers."""
        self.last_req_id = ""
        """The id of the last request with audio."""
        self._participant = participant
        self._avatar_id = avatar_id
        self._configuration = configuration
        self._seed = seed
        self._speed = limits.speed
        self._faults = faults
        self._fault = faults.consume("session", avatar_id)
        self._perform_fault = perform_fault
        self._log = requests
        self._incomplete: dict[str, Request] = {}
        self._unanswered: dict[str, RequestLog] = {}
        """Requests whose answer is incomplete, oldest first."""
        self._closed: deque[str] = deque(maxlen=_CLOSED_IDS)
        self._windows: asyncio.Queue[tuple[RequestLog, Window]] = asyncio.Queue(_WAITING_WINDOWS)
        self._sent = 0
        self._playback = Playback(participant, speed=limits.speed, finished=self._finish)
        in_a_room = configuration.egress.in_a_room
        self._deliver = self._playback.add if in_a_room else self._answer
        self._idle_ending = idle(limits.idle_s, in_a_room=in_a_room)
        self._lifetime = Lifetime(limits, self._idle_ending, self._is_busy)

    def inject(self, fault: Fault) -> None:
        """Inject a fault, which is performed when it is due."""
        self._fault = fault

    def summary(self) -> dict[str, Any]:
        """The JSON of the admin resource."""
        configuration = self._configuration
        return {
            "connection_id": self.connection_id,
            "avatar_id": self._avatar_id,
            "audio_format": configuration.audio_format,
            "sample_rate": configuration.sample_rate,
            "egress": configuration.egress.summary(),
            "payloads": self._sent,
        }

    async def serve(self) -> None:
        """Receive audio until the socket closes."""
        async with TaskScope() as tasks:
            for work in (self._generate, self._playback.run, self._expire, self._follow_participant):
                tasks.spawn(work(), name=f"{work.__name__}-{self.connection_id}")
            async for raw in self.websocket:
                message = messages.parse(raw.data) if raw.type is WSMsgType.BINARY else None
                if message is not None:
                    await self._handle(message)

    async def transmit(self, message: bytes) -> None:
        """Send a message, unless the client has disconnected."""
        with suppress(ConnectionError):
            await self.websocket.send_bytes(message)

    async def send(self, entry: RequestLog, payload: bytes) -> None:
        """Send a payload and log it."""
        self._sent += 1
        PAYLOADS.inc()
        entry.payloads += 1
        entry.motion_bytes += len(payload)
        entry.payload_sha256.append(hashlib.sha256(payload).hexdigest())
        entry.ended = messages.is_end(payload)
        await self.transmit(payload)

    async def end(self, ending: Ending) -> None:
        """Send the reason for the session's end, and close it."""
        log.info("session ends", connection_id=self.connection_id, reason=ending.text)
        if ending.code:
            await self.transmit(
                messages.error(self.connection_id, self.last_req_id, ending.code, ending.text)
            )
        await self.websocket.close(code=ending.close_code, message=ending.text.encode())

    async def time_out(self) -> None:
        """End the session as an idle one."""
        await self.end(self._idle_ending)

    def payload(self, entry: RequestLog, window: Window) -> bytes:
        """The payload of a window, without faults."""
        return messages.animation(self.connection_id, entry.req_id, window.motion, end=window.last)

    # --- messages of the client -------------------------------------------------------------------

    async def _handle(self, message: Any) -> None:
        if message.type == messages.AUDIO_INPUT:
            await self._receive(message.client_audio_input)
        elif message.type == messages.INTERRUPT and self._configuration.egress.in_a_room:
            # Its effect without a room is not documented (facts 1.10); here it has none.
            await self._interrupt(message.client_interrupt.req_id)

    async def _receive(self, received: Any) -> None:
        self._lifetime.mark_active()
        req_id = self.last_req_id = received.req_id
        if req_id in self._closed:
            return
        request, entry = self._open(req_id)
        try:
            windows = request.receive(received.audio, end=received.end)
        except UnreadableAudio as error:
            await self._refuse(entry, str(error))
            return
        entry.audio_bytes, entry.audio_ms = request.audio_bytes, request.audio_ms
        entry.audio_sha256 = request.audio_sha256
        if received.end:
            del self._incomplete[req_id]
        for window in windows:
            await self._windows.put((entry, window))

    def _open(self, req_id: str) -> tuple[Request, RequestLog]:
        if req_id not in self._incomplete:
            audio_format, sample_rate = self._configuration.audio_format, self._configuration.sample_rate
            self._incomplete[req_id] = Request(self._seed, req_id, audio(audio_format, sample_rate))
            self._unanswered[req_id] = entry = RequestLog(
                self.connection_id, self._avatar_id, req_id, sample_rate, audio_format
            )
            self._log.append(entry)
        return self._incomplete[req_id], self._unanswered[req_id]

    async def _refuse(self, entry: RequestLog, text: str) -> None:
        UNREADABLE.inc()
        self._close_request(entry)
        error = messages.error(self.connection_id, entry.req_id, INVALID_ARGUMENT, text)
        await self.transmit(error)

    async def _interrupt(self, req_id: str) -> None:
        if req_id not in self._unanswered:
            return
        requests = list(self._unanswered.values())
        dropped = requests[: [entry.req_id for entry in requests].index(req_id) + 1]
        for entry in dropped:
            self._close_request(entry)
        await self._playback.interrupt(dropped)

    def _close_request(self, entry: RequestLog) -> None:
        """Close a request: further audio of it is dropped."""
        if self._incomplete.pop(entry.req_id, None) is not None:
            self._closed.append(entry.req_id)
        self._unanswered.pop(entry.req_id, None)

    # --- answers ---------------------------------------------------------------------

    async def _generate(self) -> None:
        while True:
            entry, window = await self._windows.get()
            if not entry.interrupted:
                wait_s = FIRST_ANSWER_S if window.first else NEXT_WINDOW_MS / 1000 / GENERATION_SPEED
                await asyncio.sleep(wait_s / self._speed)
                await self._deliver(entry, window)

    async def _answer(self, entry: RequestLog, window: Window) -> None:
        if window.last:
            self._unanswered.pop(entry.req_id, None)
        if self.websocket.closed:
            return
        fault = self._fault
        if fault is not None and self._sent >= fault.after_payloads:
            log.info("fault injected", fault=fault.fault, connection_id=self.connection_id)
            if not await self._perform_fault(self, fault, entry, window):
                self._fault = None
        elif not self.silent:
            await self.send(entry, self.payload(entry, window))

    async def _finish(self, entry: RequestLog) -> None:
        """Notify the room's agent and the client that a request has played, or was interrupted."""
        self._lifetime.mark_active()
        if not self.silent and self._faults.consume("room", self._avatar_id) is None:
            self._participant.playback_finished(entry.playback_ms / 1000, interrupted=entry.interrupted)
        await self._answer(entry, END)

    # --- ends -----------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return self._playback.busy or not self._windows.empty()

    async def _expire(self) -> None:
        await self.end(await self._lifetime.over())

    async def _follow_participant(self) -> None:
        await self._participant.gone()
        await self.end(ROOM_LOST)
