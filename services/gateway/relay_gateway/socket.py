"""The socket: the fan-out's connection to one viewer. The gateway's use of aiohttp's internals is here only.

Frames are written to the transport as WebSocket messages that are built once for all viewers: messages of a
server are unmasked (RFC 6455 5.1), so that their bytes are the same for each viewer. aiohttp does the
handshake, pongs and everything inbound; its writer and this one share the transport, in call order. Every
close is written here: aiohttp's own discards unsent messages while the socket is being read, and answers a
client's close with 1000 instead of its code.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from relay_gateway.flush import WriteCoalescer
from relay_gateway.response import ViewerResponse
from relay_gateway.websocket import EMPTY_CLOSE, PING, close_message
from relay_wire.close_codes import ABNORMAL, NO_STATUS, PROTOCOL_ERROR, REGISTRY, CloseCode, may_be_sent

PROBES_BEFORE_PING = 2
"""The probe, counted from the last message, that pings; the next one aborts.

With keepalive's probe every half interval::

    message   probe 1   probe 2   probe 3
    |---------|---------|---------|
    0 to 1/2  counts    pings     aborts: the ping had half an interval for its pong

The first probe cannot ping: the message may have come just before it.
"""
_LAST = frozenset((WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR))

CLOSE_S = 2.0
"""How long a viewer may take to answer a close before its connection is aborted."""


def _bound_kernel(connection: Any, notsent_bytes: int) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, notsent_bytes)


class Socket:
    """One viewer's open WebSocket.

    Args:
        request: The upgrade request.
        websocket: The response, prepared.
        coalescer: Flushes the socket.
        buffer_bytes: Unsent bytes from which on the viewer is congested.
        notsent_bytes: Bytes that the kernel accepts beyond those on the wire. Without a limit it accepts
            megabytes, and an interrupt would wait behind them.
    """

    def __init__(
        self,
        request: web.Request,
        websocket: ViewerResponse,
        coalescer: WriteCoalescer,
        *,
        buffer_bytes: int,
        notsent_bytes: int,
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the viewer left during the handshake")
        transport.set_write_buffer_limits(high=buffer_bytes, low=buffer_bytes // 4)
        _bound_kernel(transport.get_extra_info("socket"), notsent_bytes)
        self._transport = transport
        self._protocol = request.protocol
        self.websocket = websocket
        self._coalescer = coalescer
        self._unwritten = b""
        self._buffer_bytes = buffer_bytes
        self._deadline: asyncio.TimerHandle | None = None
        self.closed_with: CloseCode | None = None
        """The code with which the gateway closed it; None when the viewer closed it, or it is open."""
        self._end_code = -1
        """The code of the viewer's close, 0 when it had none; -1 without one."""
        self.before_close: Callable[[CloseCode], bytes] | None = None
        """Encodes the last messages of the viewer's protocol, for every close by the gateway."""
        websocket.close_for_error = self._close_for_error
        self.notices_close = True
        """Whether the viewer's app learns of a close from the close message; else the connection is cut."""
        self._silent_probes = 0
        """Probes since the last message."""
        self.error: object = None
        """The error that ended it without a close, once ``receive`` has returned None."""

    @property
    def open(self) -> bool:
        """Whether a write can still reach the viewer."""
        return not (self.closed_with or self.websocket.closed or self._transport.is_closing())

    @property
    def unsent_bytes(self) -> int:
        """Bytes written that the kernel has not accepted yet."""
        return len(self._unwritten) + self._transport.get_write_buffer_size()

    @property
    def congested(self) -> bool:
        """Whether more than ``buffer_bytes`` is unsent."""
        return len(self._unwritten) + self._transport.get_write_buffer_size() > self._buffer_bytes

    def write(self, messages: bytes) -> None:
        """Send whole WebSocket messages at the end of this loop tick; never blocks.

        The caller checks ``congested``. After the end of the connection messages are discarded; ``receive``
        reports the end.
        """
        if self._unwritten:
            self._unwritten += messages
        elif messages:
            self._unwritten = messages
            self._coalescer.add(self)

    def flush(self) -> None:
        """Send the written messages now."""
        messages, self._unwritten = self._unwritten, b""
        if messages and not self._transport.is_closing():  # uvloop raises where asyncio would only warn
            self._transport.write(messages)

    async def drained(self, within_s: float) -> bool:
        """Wait until a congested socket has sent all but a quarter of its buffer. Safe to cancel.

        Returns:
            False when ``within_s`` seconds were not enough.

        Raises:
            ConnectionError: The viewer is gone.
        """
        self.flush()
        try:
            async with asyncio.timeout(within_s):
                # aiohttp has no public way to await this without writing; its own writer awaits this.
                await self._protocol._drain_helper()  # noqa: SLF001
        except TimeoutError:
            return False
        return True

    async def receive(self) -> WSMessage | None:
        """The viewer's next message, pings and pongs too; None when the socket has ended. Safe to cancel.

        Messages after the gateway's close are discarded.
        """
        self.flush()
        while (message := await self.websocket.receive()).type not in _LAST:
            self._silent_probes = 0
            if self.closed_with is None:
                return message
        if message.type is WSMsgType.CLOSE:
            self._end_code = message.data or 0
        self.error = self.error or (
            message.data if message.type is WSMsgType.ERROR else self.websocket.exception()
        )
        return None

    @property
    def ended_by(self) -> CloseCode | None:
        """The code that ended it, of the gateway or the viewer; None when the registry does not have it."""
        if self.closed_with is not None:
            return self.closed_with
        if self._end_code == 0:
            return NO_STATUS
        code = self._end_code if self._end_code > 0 else self.websocket.close_code
        return REGISTRY.get(code or ABNORMAL.code)

    def touch(self) -> None:
        """Count the viewer as present: it has sent what is not read yet."""
        self._silent_probes = 0

    def probe(self) -> None:
        """Ping a viewer that is silent; abort when a ping has no answer (``PROBES_BEFORE_PING``).

        A congested socket is not probed: the ping would wait behind its buffer, and its time is limited.
        """
        if not self.open or self.congested:
            return
        self._silent_probes += 1
        if self._silent_probes == PROBES_BEFORE_PING:
            self.write(PING)
        elif self._silent_probes > PROBES_BEFORE_PING:
            self.error = TimeoutError("no answer to a ping")
            self._transport.abort()

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Close with a code of the registry. Calls after the first have no effect.

        ``receive`` returns None when the viewer has answered; without an answer within ``CLOSE_S`` the
        connection is aborted.
        """
        if self.closed_with is not None:
            return
        if self.before_close is not None:
            self.write(self.before_close(code))
        self.closed_with = code
        self._deadline = asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)
        if self.notices_close:
            self.write(close_message(code.code, reason or code.name))
        else:
            self.flush()
            self._transport.close()

    async def ended(self) -> None:
        """Receive until the end, and complete the close handshake. Safe to cancel."""
        while await self.receive() is not None:
            pass
        if self.closed_with is None and self._end_code >= 0:
            self._answer_close(self._end_code)
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport.close()

    def _answer_close(self, code: int) -> None:
        """Answer the viewer's close with its own code (RFC 6455 5.5.1)."""
        if not code:
            self.write(EMPTY_CLOSE)
        elif may_be_sent(code):
            self.write(close_message(code, ""))
        else:
            self.close(PROTOCOL_ERROR)
        self.flush()

    def _close_for_error(self, code: CloseCode) -> None:
        """Close without waiting for an answer: nothing that follows an error in a frame can be read."""
        self.close(code)
        self.flush()
        self._transport.close()

    def release(self) -> None:
        """Discard the unsent bytes of a viewer that is gone: the transport would keep them for minutes.

        The callbacks are discarded, too: they refer back to the socket.
        """
        self.before_close = self.websocket.close_for_error = None
        if self.unsent_bytes:
            self._transport.abort()
