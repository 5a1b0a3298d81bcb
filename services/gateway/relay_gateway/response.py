"""The response to an upgrade: aiohttp's WebSocket, whose closes for an error in a frame are the gateway's."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from relay_wire.close_codes import INVALID_TEXT, NORMAL, PROTOCOL_ERROR, TOO_BIG, CloseCode

_FRAME_ERRORS = {error.code: error for error in (PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG)}
"""The codes with which aiohttp closes after an error in a frame."""


class ViewerResponse(web.WebSocketResponse):
    """A viewer's WebSocket. A close that aiohttp would start for an error in a frame is left to a callback.

    aiohttp calls ``close`` before it writes the close message, when every message before the error is read.

    Args:
        max_message_bytes: The largest message.
        options: Further ones of ``WebSocketResponse``.
    """

    def __init__(self, *, max_message_bytes: int, **options: Any) -> None:
        super().__init__(max_msg_size=max_message_bytes, **options)
        self.max_message_bytes = max_message_bytes
        self.close_for_error: Callable[[CloseCode], None] | None = None
        """Closes the connection for an error in a frame."""

    async def close(self, *, code: int = NORMAL.code, message: bytes = b"", drain: bool = True) -> bool:
        """Part of ``WebSocketResponse``. After it the connection is closing."""
        error = _FRAME_ERRORS.get(code)
        if error is not None and self.close_for_error is not None:
            self.close_for_error(error)
        return await super().close(code=code, message=message, drain=drain)
