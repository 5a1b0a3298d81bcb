"""Inbound messages: the messages of one viewer, within its limits."""

import asyncio
from contextlib import suppress

from aiohttp import WebSocketError, WSMessage, WSMsgType

from relay_gateway.admission import LIMITED
from relay_gateway.socket import Socket
from relay_runtime.token_bucket import TokenBucket
from relay_settings.limits import LimitSettings
from relay_wire.close_codes import RATE_LIMITED, TOO_BIG


class RateExceeded(Exception):
    """Raised when a viewer sends more bytes than its limit."""


class InboundMessages:
    """A viewer's messages, with a limit on frames and on bytes per second.

    Pings count, so they are answered here: the socket must not answer them itself (``autoping=False``). A
    socket that ends by a limit (silence, or a message that is too large) is counted.

    Args:
        socket: The viewer's socket.
        limits: The limits on its frames and bytes.
    """

    __slots__ = ("_bytes", "_frames", "_socket")

    def __init__(self, socket: Socket, limits: LimitSettings) -> None:
        self._socket = socket
        burst_s, now = limits.message_burst_s, asyncio.get_running_loop().time()
        self._frames = TokenBucket(limits.messages_per_s, limits.messages_per_s * burst_s, now)
        self._bytes = TokenBucket(limits.message_bytes_per_s, limits.message_bytes_per_s * burst_s, now)

    def admit_frames(self, frames: int) -> bool:
        """Count received WebSocket frames; False when they are too many, which closes the socket."""
        if not self._frames.consume(frames, asyncio.get_running_loop().time()):
            return True
        LIMITED.labels("messages").inc()
        self._socket.close(RATE_LIMITED, "too many messages in too short a time")
        return False

    async def receive(self) -> WSMessage | None:
        """The next message, None when the socket has ended. Safe to cancel.

        Raises:
            RateExceeded: The viewer has sent too many bytes.
        """
        while True:
            message = await self._socket.receive()
            if message is None:
                _count_end(self._socket.error)
                return None
            if self._exceeds(message):
                LIMITED.labels("bytes").inc()
                raise RateExceeded("too many bytes in too short a time")
            if message.type is WSMsgType.PING:
                with suppress(ConnectionError):  # The viewer left; that is the next message.
                    await self._socket.websocket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message

    def _exceeds(self, message: WSMessage) -> bool:
        """Count the bytes of a message; whether they are too many."""
        return self._bytes.consume(len(message.data), asyncio.get_running_loop().time()) > 0


def _count_end(error: object) -> None:
    if isinstance(error, TimeoutError):
        LIMITED.labels("idle").inc()
    elif isinstance(error, WebSocketError) and error.code == TOO_BIG.code:
        LIMITED.labels("message_size").inc()
