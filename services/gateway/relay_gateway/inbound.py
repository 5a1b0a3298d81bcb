"""The inbox: what one viewer sends, message by message, as long as it stays within its limits."""

import asyncio
from contextlib import suppress
from typing import Self

from aiohttp import WebSocketError, WSMessage, WSMsgType

from relay_gateway.admission import LIMITED
from relay_gateway.socket import Socket
from relay_runtime.token_bucket import TokenBucket
from relay_settings.limits import LimitSettings
from relay_wire.close_codes import TOO_BIG


class Overrun(Exception):
    """Raised when a viewer says more than it may."""


class InboundMessages:
    """A viewer's messages, to be iterated; it ends when the socket does.

    Pings are counted, so they are answered here: the socket must not do it by itself
    (``autoping=False``). A socket that a limit of its own ends, silence or a message that is too large,
    is counted. Cancelling is safe.

    Args:
        socket: The viewer's.
        settings: How many bytes it may say; the number of frames is bounded before they are parsed.
    """

    def __init__(self, socket: Socket, settings: LimitSettings) -> None:
        self._socket = socket
        self._clock = asyncio.get_running_loop().time
        per_s = settings.message_bytes_per_s
        self._bytes = TokenBucket(per_s, per_s * settings.message_burst_s, self._clock())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WSMessage:
        """The next message.

        Raises:
            Overrun: It is too much.
            StopAsyncIteration: There is none.
        """
        while True:
            message = await self._socket.receive()
            if message is None:
                _count_end(self._socket.error)
                raise StopAsyncIteration
            if self._bytes.take(len(message.data), self._clock()):
                LIMITED.labels("bytes").inc()
                raise Overrun("too many bytes in too short a time")
            if message.type is WSMsgType.PING:
                with suppress(ConnectionError):  # It left; that is the next message.
                    await self._socket.websocket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message


def _count_end(error: object) -> None:
    if isinstance(error, TimeoutError):
        LIMITED.labels("idle").inc()
    elif isinstance(error, WebSocketError) and error.code == TOO_BIG.code:
        LIMITED.labels("message_size").inc()
