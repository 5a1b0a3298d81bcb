"""Acceptance of viewers' sockets, from the upgrade to the close, for any use of the socket."""

from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from relay_gateway.flush import WriteCoalescer
from relay_gateway.handshake import SUBPROTOCOL, check_upgrade
from relay_gateway.hub import Hub
from relay_gateway.inbound import InboundMessages, RateExceeded
from relay_gateway.keepalive import Keepalive
from relay_gateway.response import ViewerResponse
from relay_gateway.socket import CLOSE_S, Socket
from relay_gateway.upload import UploadMessages
from relay_runtime.connection import Connection
from relay_runtime.http import close_code
from relay_runtime.tasks import TaskScope
from relay_settings.gateway import GatewaySettings
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.close_codes import RATE_LIMITED, REGISTRY, RESTART
from relay_wire.problems import Problem

_OTHER = "other"
CLOSES = counter(
    "relay_gateway_closes_total",
    "Viewer sockets closed, by code.",
    code=(*(code.name for code in REGISTRY.values()), _OTHER),
)

Handle = Callable[[Socket, InboundMessages], Awaitable[None]]
"""The use of a socket. The socket is closed when it returns or raises."""


class Acceptor:
    """Accepts upgrades, and keeps each socket alive and within its limits until it has closed.

    Args:
        settings: The gateway's settings.
        hub: Its ``leaving`` decides whether upgrades are accepted.
        coalescer: Flushes the sockets.
    """

    def __init__(self, settings: GatewaySettings, hub: Hub, coalescer: WriteCoalescer) -> None:
        self._settings = settings
        self._hub = hub
        self._coalescer = coalescer
        self._keepalive = Keepalive(settings.heartbeat_s)

    def start(self, tasks: TaskScope) -> None:
        """Start the keepalive."""
        tasks.spawn(self._keepalive.run(), name="keepalive")

    def close(self) -> None:
        """Close every open socket, with those that are no viewers yet, since the gateway ends."""
        for socket in self._keepalive:
            socket.close(RESTART)

    def check(self, request: web.Request) -> None:
        """Refuse an upgrade that cannot be accepted.

        Raises:
            Problem: The gateway is draining, or the request is no upgrade to our subprotocol.
        """
        if self._hub.leaving:
            raise Problem(problems.DRAINING, "this gateway is leaving, try another", retry_after_s=1)
        check_upgrade(request)

    async def accept(
        self, request: web.Request, handle: Handle, *, notices_close: bool = True, uploads: bool = False
    ) -> web.StreamResponse:
        """Accept an upgrade, run ``handle`` on the socket, and close it. The close code is counted.

        A client that does not notice a close is cut instead (``notices_close``). One that uploads speech has
        a larger limit on messages, and is read more slowly instead of being closed (``uploads``).

        An error of ``handle`` closes the socket with a code: after an upgrade there is no HTTP status.

        Raises:
            ConnectionError: The viewer left during the handshake.
        """
        settings = self._settings
        limit = settings.avatarkit_upload_bytes if uploads else settings.gateway_max_message_bytes
        socket = await self._open(request, limit)
        socket.notices_close = notices_close
        messages = (UploadMessages if uploads else InboundMessages)(socket, settings)
        cast(Connection, request.protocol).limit_frames(messages.admit_frames)
        self._keepalive.add(socket)
        try:
            try:
                await handle(socket, messages)
            except ConnectionError:
                pass  # The viewer left: its socket ends, too.
            except RateExceeded as error:
                socket.close(RATE_LIMITED, str(error))
            except Exception as error:  # noqa: BLE001  # the root of every viewer
                socket.close(close_code(request, error))
            await socket.ended()
        finally:
            self._keepalive.remove(socket)
            socket.release()
            # Clients choose their own codes; only those of the registry become labels.
            CLOSES.labels(socket.ended_by.name if socket.ended_by else _OTHER).inc()
        return socket.websocket

    async def refuse(self, request: web.Request, error: Exception) -> web.StreamResponse:
        """Accept an upgrade and close at once, with the code of the error: browsers show no HTTP status."""

        async def close(socket: Socket, _messages: InboundMessages) -> None:
            socket.close(close_code(request, error), str(error) if isinstance(error, Problem) else "")

        return await self.accept(request, close)

    async def _open(self, request: web.Request, max_message_bytes: int) -> Socket:
        websocket = ViewerResponse(
            protocols=(SUBPROTOCOL,),
            max_message_bytes=max_message_bytes,
            timeout=CLOSE_S,
            compress=False,
            autoclose=False,
            autoping=False,
        )
        await websocket.prepare(request)
        return Socket(
            request,
            websocket,
            self._coalescer,
            buffer_bytes=self._settings.client_buffer_bytes,
            notsent_bytes=self._settings.client_notsent_bytes,
        )
