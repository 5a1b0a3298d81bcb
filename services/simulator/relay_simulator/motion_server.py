"""Motion Server: the upgrade and the handshake of SDK 1.1.1 (facts 1.4), and the open sessions."""

import asyncio
import json
import time
import uuid
from collections import deque
from contextlib import suppress

import structlog
from aiohttp import WSMsgType, web
from prometheus_client import Gauge

from relay_settings.simulator import SimulatorSettings
from relay_simulator import handshake, messages, room
from relay_simulator.console import Console
from relay_simulator.egress import Refusal
from relay_simulator.faults import Fault, Faults
from relay_simulator.lifetime import Limits
from relay_simulator.request_log import RequestLog
from relay_simulator.session import Session
from relay_simulator.session_faults import perform
from relay_simulator.session_log import SessionLog

SESSIONS = Gauge("relay_simulator_sessions", "Motion sessions open.")

_HANG_S = 60.0
_LOGGED_REQUESTS = 20_000
_LOGGED_SESSIONS = 20_000
_UPGRADE_FAULTS = {
    "avatar_not_found": (404, "Avatar not found"),
    "http_402": (402, "session denied: insufficient balance"),
    "http_500": (500, "simulated failure"),
    "invalid_token": (400, "Invalid session token"),
}
_HANDSHAKE_ERRORS = {
    3: "invalid argument",
    14: "egress client is not configured on server",
    16: "unauthorized",
}

log = structlog.get_logger(__name__)


class MotionServer:
    """The simulated Motion Server.

    Args:
        console: Checks session tokens.
        faults: The armed faults.
        settings: The simulator's settings.
    """

    def __init__(self, console: Console, faults: Faults, settings: SimulatorSettings) -> None:
        self.sessions: dict[str, Session] = {}
        """The open sessions, by connection id."""
        self.opened = 0
        """Number of sessions opened so far."""
        self.connected = 0
        """Connections that occupy a seat: open sessions, and those in their handshake."""
        self.requests: deque[RequestLog] = deque(maxlen=_LOGGED_REQUESTS)
        """Requests and their answers, oldest first."""
        self.session_log: deque[SessionLog] = deque(maxlen=_LOGGED_SESSIONS)
        """Sessions and how long they were connected, oldest first."""
        self._console = console
        self._faults = faults
        self._settings = settings
        self._avatars = frozenset(filter(None, settings.simulator_avatars.split(",")))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v2/driveningress/websocket?id=<avatar>``."""
        avatar_id = request.query.get("id", "")
        token = request.headers.get("X-Session-Key") or request.query.get("sessionKey", "")
        refusal = await self._refusal(request, avatar_id, token)
        if refusal is not None:
            return _refused_upgrade(*refusal)
        websocket = web.WebSocketResponse(max_msg_size=self._settings.simulator_message_bytes, compress=False)
        await websocket.prepare(request)
        self.connected += 1
        try:
            await self._handshake(request, websocket, avatar_id, self._console.expires_at(token))
        except Refusal as refused:
            with suppress(ConnectionError):
                await websocket.send_bytes(messages.error("", "", refused.code, refused.text))
        except (ConnectionError, TimeoutError) as error:
            log.info("handshake failed", avatar_id=avatar_id, error=type(error).__name__)
        finally:
            self.connected -= 1
        await websocket.close()
        return websocket

    async def _refusal(self, request: web.Request, avatar_id: str, token: str) -> tuple[int, str] | None:
        fault = self._faults.consume("upgrade", avatar_id)
        if fault is not None:
            if fault.fault == "hang":
                await asyncio.sleep(_HANG_S)
            return _UPGRADE_FAULTS.get(fault.fault, (500, "simulated failure"))
        expires_at = self._console.expires_at(token)
        app_id = request.headers.get("X-App-ID") or request.query.get("appId", "")
        refusals = [
            (expires_at is None, (400, "Invalid session token")),
            (expires_at is not None and expires_at <= time.time(), (401, "session token expired")),
            (not app_id, (404, "app id unrecognized")),
            (bool(self._avatars) and avatar_id not in self._avatars, (404, "Avatar not found")),
            (
                self.connected >= self._settings.simulator_seats,
                (402, "session denied: too many connections"),
            ),
        ]
        return next((refusal for refused, refusal in refusals if refused), None)

    async def _handshake(
        self, request: web.Request, websocket: web.WebSocketResponse, avatar_id: str, expires_at: float | None
    ) -> None:
        """Confirm a session and run it to its end.

        Raises:
            Refusal: The session is not confirmed.
        """
        settings = self._settings
        first = await websocket.receive(timeout=settings.simulator_handshake_s)
        configuration = handshake.read(messages.parse(first.data) if first.type is WSMsgType.BINARY else None)
        connection_id = f"sim-{uuid.uuid4().hex[:12]}"
        fault = self._faults.consume("handshake", avatar_id)
        if fault is not None:
            await _break_handshake(websocket, fault, connection_id)
            return
        joining = room.join(
            configuration.egress,
            audio_format=configuration.audio_format,
            sample_rate=configuration.sample_rate,
            timeout_s=settings.simulator_room_s,
        )
        async with joining as participant:
            await asyncio.sleep(settings.simulator_connect_s / settings.simulator_speed)
            if request.transport is None:
                return
            entry = SessionLog(connection_id, avatar_id, opened_at=time.time())
            await websocket.send_bytes(messages.confirm(connection_id))
            await self._run(
                Session(
                    websocket,
                    request.transport,
                    participant,
                    connection_id=connection_id,
                    avatar_id=avatar_id,
                    configuration=configuration,
                    limits=Limits(
                        session_s=settings.simulator_session_s,
                        idle_s=configuration.egress.idle_timeout_s or settings.simulator_idle_s,
                        expires_at=expires_at if settings.simulator_token_expiry else None,
                        speed=settings.simulator_speed,
                    ),
                    seed=settings.simulator_seed,
                    faults=self._faults,
                    perform_fault=perform,
                    requests=self.requests,
                ),
                entry,
            )

    async def _run(self, session: Session, entry: SessionLog) -> None:
        self.opened += 1
        self.sessions[session.connection_id] = session
        self.session_log.append(entry)
        SESSIONS.set(len(self.sessions))
        try:
            await session.serve()
        finally:
            entry.close()
            del self.sessions[session.connection_id]
            SESSIONS.set(len(self.sessions))


async def _break_handshake(websocket: web.WebSocketResponse, fault: Fault, connection_id: str) -> None:
    match fault.fault:
        case "silent":
            await asyncio.sleep(_HANG_S)
        case "text":
            await websocket.send_str("hello")
        case "wrong_type":
            await websocket.send_bytes(messages.animation(connection_id, "", b"", end=False))
        case name:
            code = int(name.removeprefix("error_"))
            await websocket.send_bytes(messages.error(connection_id, "", code, _HANDSHAKE_ERRORS[code]))
    await websocket.close()


def _refused_upgrade(status: int, text: str) -> web.Response:
    """The response of the vendor's server, byte for byte: compact JSON, with a newline."""
    body = json.dumps({"message": text}, separators=(",", ":")) + "\n"
    return web.Response(text=body, status=status, content_type="application/json")
