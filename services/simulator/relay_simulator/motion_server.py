"""Motion Server: the upgrade and the handshake of SDK 1.1.1 (facts 1.4), and the sessions it has open."""

import asyncio
import uuid
from collections import deque

from aiohttp import WSMsgType, web
from prometheus_client import Gauge

from relay_simulator import messages
from relay_simulator.console import Console
from relay_simulator.faults import Fault, Faults
from relay_simulator.session import RequestLog, Session
from relay_simulator.strikes import strike
from relay_wire.pcm import SAMPLE_RATES

SESSIONS = Gauge("relay_simulator_sessions", "Motion sessions open.")

_HANG_S = 60.0
_LOGGED_REQUESTS = 20_000
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


class MotionServer:
    """All sessions.

    Args:
        console: Knows the tokens.
        faults: What goes wrong.
        seed: Decides the motion.
        speed: Divides every wait.
        seats: Most sessions at once.
        avatars: The ids that exist; empty: all.
    """

    def __init__(
        self,
        console: Console,
        faults: Faults,
        *,
        seed: int,
        speed: float,
        seats: int,
        avatars: frozenset[str],
    ) -> None:
        self.sessions: dict[str, Session] = {}
        """Those open, by connection id."""
        self.opened = 0
        """How many there have been."""
        self.requests: deque[RequestLog] = deque(maxlen=_LOGGED_REQUESTS)
        """What was answered, oldest first."""
        self._console = console
        self._faults = faults
        self._seed = seed
        self._speed = speed
        self._seats = seats
        self._avatars = avatars

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v2/driveningress/websocket?id=<avatar>``."""
        avatar_id = request.query.get("id", "")
        refusal = await self._refusal(request, avatar_id)
        if refusal is not None:
            status, text = refusal
            return web.json_response({"message": text}, status=status)
        websocket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await websocket.prepare(request)
        session = await self._handshake(request, websocket, avatar_id)
        if session is not None:
            await self._run(session)
        return websocket

    async def _refusal(self, request: web.Request, avatar_id: str) -> tuple[int, str] | None:
        fault = self._faults.take("upgrade", avatar_id)
        if fault is not None:
            if fault.fault == "hang":
                await asyncio.sleep(_HANG_S)
            return _UPGRADE_FAULTS.get(fault.fault, (500, "simulated failure"))
        token = request.headers.get("X-Session-Key") or request.query.get("sessionKey", "")
        app_id = request.headers.get("X-App-ID") or request.query.get("appId", "")
        refusals = [
            (not self._console.accepts(token), (400, "Invalid session token")),
            (not app_id, (404, "app id unrecognized")),
            (bool(self._avatars) and avatar_id not in self._avatars, (404, "Avatar not found")),
            (len(self.sessions) >= self._seats, (402, "session denied: too many connections")),
        ]
        return next((refusal for refused, refusal in refusals if refused), None)

    async def _handshake(
        self, request: web.Request, websocket: web.WebSocketResponse, avatar_id: str
    ) -> Session | None:
        first = await websocket.receive()
        message = messages.parse(first.data) if first.type is WSMsgType.BINARY else None
        connection_id = f"sim-{uuid.uuid4().hex[:12]}"
        if message is None or message.type != messages.CONFIGURE_SESSION:
            await _refuse(websocket, messages.error("", "", 3, "expected ClientConfigureSession message"))
            return None
        fault = self._faults.take("handshake", avatar_id)
        if fault is not None:
            await _break_handshake(websocket, fault, connection_id)
            return None
        sample_rate = message.client_configure_session.sample_rate
        if sample_rate not in SAMPLE_RATES:
            text = f"unsupported sample rate {sample_rate}"
            await _refuse(websocket, messages.error(connection_id, "", 3, text))
            return None
        transport = request.transport
        if transport is None:
            return None
        await websocket.send_bytes(messages.confirm(connection_id))
        return Session(
            websocket,
            transport,
            connection_id=connection_id,
            avatar_id=avatar_id,
            sample_rate=sample_rate,
            seed=self._seed,
            speed=self._speed,
            fault=self._faults.take("session", avatar_id),
            strike=strike,
            requests=self.requests,
        )

    async def _run(self, session: Session) -> None:
        self.opened += 1
        self.sessions[session.connection_id] = session
        SESSIONS.set(len(self.sessions))
        try:
            await session.serve()
        finally:
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


async def _refuse(websocket: web.WebSocketResponse, answer: bytes) -> None:
    await websocket.send_bytes(answer)
    await websocket.close()
