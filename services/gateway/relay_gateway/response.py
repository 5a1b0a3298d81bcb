"""Responses: the WebSocket of a viewer as aiohttp has it, with a word before the close."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from relay_wire.close_codes import NORMAL, TOO_BIG


class ViewerResponse(web.WebSocketResponse):
    """A viewer's WebSocket as aiohttp has it; it says why, also when it is aiohttp that closes it.

    Args:
        options: Of ``WebSocketResponse``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.on_too_big: Callable[[], None] | None = None
        """Called before the close that a message which is too large ends it with."""

    async def close(self, *, code: int = NORMAL.code, message: bytes = b"", drain: bool = True) -> bool:
        """Part of ``WebSocketResponse``."""
        if code == TOO_BIG.code and self.on_too_big is not None:
            self.on_too_big()
        return await super().close(code=code, message=message, drain=drain)
