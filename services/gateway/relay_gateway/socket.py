"""The socket: one viewer's connection as the fan-out sees it. Here is all that knows aiohttp's inside.

Frames are written to the transport as WebSocket messages built once for all viewers: server messages
are unmasked (RFC 6455 5.1), so the same bytes serve everybody. aiohttp keeps the handshake, pings, and
everything inbound; its writer and ours share the transport, in call order. The close is ours when it is
us who close: aiohttp's drops what is not yet sent when the socket is being read at the same time.
"""

import asyncio
import socket
from typing import Any

from aiohttp import WebSocketError, WSMessage, WSMsgType, web

from relay_gateway.flush import WriteCoalescer
from relay_gateway.response import ViewerResponse
from relay_gateway.websocket import PING, close_message
from relay_wire.close_codes import ABNORMAL, NO_STATUS, NORMAL, PROTOCOL_ERROR, REGISTRY, CloseCode

_PING_AT = 2
"""Which probe without a message in between pings. Not the first: the message may have come just before."""
_LAST = frozenset((WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR))

CLOSE_S = 2.0
"""How long a viewer may take to answer a close before its connection is dropped."""


def _bound_kernel(connection: Any, notsent_bytes: int) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, notsent_bytes)


class Socket:
    """One viewer's open WebSocket.

    Args:
        request: The upgrade request.
        websocket: The response, prepared.
        coalescer: Has it flushed.
        buffer_bytes: Unsent bytes at which the viewer counts as congested.
        notsent_bytes: How many the kernel takes beyond those on the wire. By itself it takes megabytes, and
            an interrupt would wait behind them.
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
        """How we closed it; None when the viewer did, or nobody has."""
        self._end_code = -1
        """The code of the viewer's close, 0 when it had none, or of what was wrong with a frame; else -1.

        aiohttp forgets both when its own close is not answered.
        """
        self._silent = 0
        """Probes since something was received."""
        self.error: object = None
        """What ended it without a close, once ``receive`` has said so."""

    @property
    def open(self) -> bool:
        """Whether writing still makes sense."""
        return not (self.closed_with or self.websocket.closed or self._transport.is_closing())

    @property
    def unsent_bytes(self) -> int:
        """Bytes given but not yet taken by the kernel."""
        return len(self._unwritten) + self._transport.get_write_buffer_size()

    @property
    def congested(self) -> bool:
        """Whether more would only pile up."""
        return len(self._unwritten) + self._transport.get_write_buffer_size() > self._buffer_bytes

    def write(self, messages: bytes) -> None:
        """Send whole WebSocket messages, at the end of this turn of the loop; never blocks.

        The caller minds ``congested``. To a viewer that is gone nothing is sent: its own end is on the way.
        """
        if self._unwritten:
            self._unwritten += messages
        elif messages:
            self._unwritten = messages
            self._coalescer.add(self)

    def flush(self) -> None:
        """Send what was written now."""
        messages, self._unwritten = self._unwritten, b""
        if messages and not self._transport.is_closing():  # uvloop raises where asyncio would only warn
            self._transport.write(messages)

    async def drained(self, within_s: float) -> bool:
        """Wait until a congested socket has sent all but a quarter of its buffer. Safe to cancel.

        Returns:
            Whether it has, in time.

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
        """What the viewer sends next, pings and pongs too; None when the socket has ended. Safe to cancel.

        What it sends after we closed is not for anybody.
        """
        # aiohttp closes by itself when it reads nonsense; what was written before goes first.
        self.flush()
        while (message := await self.websocket.receive()).type not in _LAST:
            self._silent = 0
            if self.closed_with is None:
                return message
        if message.type is WSMsgType.CLOSE:
            self._end_code = message.data or 0
        elif isinstance(message.data, WebSocketError):
            self._end_code = message.data.code
        self.error = self.error or (
            message.data if message.type is WSMsgType.ERROR else self.websocket.exception()
        )
        return None

    @property
    def ended_by(self) -> CloseCode | None:
        """What ended it, by us or by the viewer; None when the viewer's code is none of the registry."""
        if self.closed_with is not None:
            return self.closed_with
        if self._end_code == 0:
            return NO_STATUS
        code = self._end_code if self._end_code > 0 else self.websocket.close_code
        return REGISTRY.get(code or ABNORMAL.code)

    def probe(self) -> None:
        """Ping when nothing was received between the last two probes; drop when a ping brought nothing.

        A congested socket is left alone: a ping would not get through, and its time is limited anyhow.
        """
        if not self.open or self.congested:
            return
        self._silent += 1
        if self._silent == _PING_AT:
            self.write(PING)
        elif self._silent > _PING_AT:
            self.error = TimeoutError("no answer to a ping")
            self._transport.abort()

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Close with a code of the registry, unless that was done before.

        Whoever receives gets None when the viewer has answered; one that does not answer in ``CLOSE_S``
        is dropped.
        """
        if self.closed_with is not None:
            return
        self.write(close_message(code.code, reason or code.name))
        self.closed_with = code
        self._deadline = asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)

    async def ended(self) -> None:
        """Receive until the end, and do our part of it: a viewer that closed is answered. Safe to cancel."""
        while await self.receive() is not None:
            pass
        if self._deadline is not None:
            self._deadline.cancel()
            self._transport.close()
        elif not self.websocket.closed and self.websocket.close_code is not None:
            await self._answer_close(self.websocket.close_code)

    async def _answer_close(self, theirs: int) -> None:
        self.flush()
        # aiohttp takes this code from the wire, where it must never stand (RFC 6455 7.4.1).
        impossible = theirs == ABNORMAL.code
        self.closed_with = PROTOCOL_ERROR if impossible else None
        code = PROTOCOL_ERROR if impossible else NORMAL
        await self.websocket.close(code=code.code, drain=False)

    def drop(self) -> None:
        """Give up what a viewer that is gone has not taken; the transport would keep it for minutes."""
        if self.unsent_bytes:
            self._transport.abort()
