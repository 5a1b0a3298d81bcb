"""Upload: the messages of a client that sends speech as fast as it can, as the vendor's rules allow."""

import asyncio

from aiohttp import WSMessage, WSMsgType

from relay_gateway.inbound import InboundMessages
from relay_gateway.socket import Socket
from relay_runtime.token_bucket import TokenBucket
from relay_settings.limits import LimitSettings

_FRAMES_BURST = 20_000
"""The most WebSocket frames at once: minutes of speech in pieces of 20 ms."""
_TOUCH_S = 1.0


class UploadMessages(InboundMessages):
    """A client's messages, read no faster than its limit on bytes allows: its own TCP connection fills up.

    Its pings are limited as a viewer's frames are, its other frames by a longer burst.

    Args:
        socket: The client's socket.
        limits: The limits on its frames and bytes.
    """

    __slots__ = ("_per_s", "_pings", "_unpaid")

    def __init__(self, socket: Socket, limits: LimitSettings) -> None:
        super().__init__(socket, limits)
        now = asyncio.get_running_loop().time()
        self._pings = self._frames
        self._frames = TokenBucket(limits.messages_per_s, _FRAMES_BURST, now)
        self._per_s = limits.message_bytes_per_s
        self._unpaid = 0
        """Bytes of the last message beyond the limit: the next is read when they are paid for."""

    async def receive(self, within_s: float | None = None) -> WSMessage | None:
        """As ``InboundMessages.receive``, after a pause that the limit on bytes demands.

        Raises:
            TimeoutError: No message came within this time after the pause.
        """
        await self._pause(self._unpaid / self._per_s)
        self._unpaid = 0
        async with asyncio.timeout(within_s):
            return await super().receive()

    def _exceeds(self, message: WSMessage) -> bool:
        if message.type is WSMsgType.PING and self._pings.consume(1, asyncio.get_running_loop().time()):
            return True
        if super()._exceeds(message):
            self._unpaid += len(message.data)
        return False

    async def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self._socket.touch()  # What it sends waits to be read: it is not silent.
            await asyncio.sleep(min(seconds, _TOUCH_S))
            seconds -= _TOUCH_S
