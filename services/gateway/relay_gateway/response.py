"""The response to an upgrade: aiohttp's WebSocket, with a callback before it closes for a message's size."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from relay_wire.close_codes import NORMAL, TOO_BIG


class ViewerResponse(web.WebSocketResponse):
    """A viewer's WebSocket. An ``error`` event can precede aiohttp's close for a message that is too large.

    Args:
        max_message_bytes: The largest message.
        options: Further ones of ``WebSocketResponse``.
    """

    def __init__(self, *, max_message_bytes: int, **options: Any) -> None:
        super().__init__(max_msg_size=max_message_bytes, **options)
        self.max_message_bytes = max_message_bytes
        self.on_too_big: Callable[[], None] | None = None
        """Called before the close for a message that is too large."""

    async def close(self, *, code: int = NORMAL.code, message: bytes = b"", drain: bool = True) -> bool:
        """Part of ``WebSocketResponse``."""
        if code == TOO_BIG.code and self.on_too_big is not None:
            self.on_too_big()
        return await super().close(code=code, message=message, drain=drain)
