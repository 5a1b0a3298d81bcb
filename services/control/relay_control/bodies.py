"""Request bodies: read once the request is admitted, within a size, a time and the process's memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import HttpVersion11, hdrs, web
from prometheus_client import Gauge

from relay_settings.control import ControlSettings
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem

BODY_BYTES = Gauge("relay_control_body_bytes", "Bytes of request bodies held now.")
REFUSED = counter(
    "relay_control_bodies_refused_total", "Request bodies given up.", reason=("large", "slow", "full")
)
JSON_BYTES = 64 * 1024
"""Largest body of an operation that reads JSON."""
_CONTINUE = "100-continue"
_RETRY_S = 1


class Bodies:
    """Reads bodies, and knows how much of them the process holds.

    Args:
        settings: Control's: the limits.
    """

    def __init__(self, settings: ControlSettings) -> None:
        self._turn_bytes = settings.max_turn_bytes
        self._limit_bytes = settings.max_bodies_bytes
        self._timeout_s = settings.body_timeout_s
        self._held_bytes = 0

    @asynccontextmanager
    async def audio(self, request: web.Request) -> AsyncIterator[bytes]:
        """A turn's audio. Its memory counts until the block ends.

        Raises:
            Problem: It is larger than a turn may be, comes too slowly, or the process holds too much.
        """
        async with self._read(request, self._turn_bytes) as body:
            yield body

    @asynccontextmanager
    async def json(self, request: web.Request) -> AsyncIterator[bytes]:
        """As ``audio``, for a small body."""
        async with self._read(request, min(JSON_BYTES, self._turn_bytes)) as body:
            yield body

    @asynccontextmanager
    async def _read(self, request: web.Request, most_bytes: int) -> AsyncIterator[bytes]:
        if (request.content_length or 0) > most_bytes:
            raise _refused("large", most_bytes)
        await _go_ahead(request)
        pieces: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    async for piece in request.content.iter_any():
                        size += len(piece)
                        self._hold(len(piece))
                        if size > most_bytes:
                            raise _refused("large", most_bytes)
                        if self._held_bytes > self._limit_bytes:
                            raise _refused("full", self._limit_bytes)
                        pieces.append(piece)
            except TimeoutError:
                raise _refused("slow", self._timeout_s) from None
            body = b"".join(pieces)
            pieces.clear()
            yield body
        finally:
            self._hold(-size)

    def _hold(self, change: int) -> None:
        self._held_bytes += change
        BODY_BYTES.inc(change)


async def leave_expecting(_request: web.Request) -> None:
    """The ``Expect`` handler of a route: the answer is given by ``Bodies``, to who is admitted."""


async def _go_ahead(request: web.Request) -> None:
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    if expected == _CONTINUE and request.version == HttpVersion11:
        writer = request._payload_writer  # noqa: SLF001  # aiohttp's own handler does the same
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0


def _refused(reason: str, limit: float) -> Problem:
    REFUSED.labels(reason).inc()
    match reason:
        case "large":
            return Problem(problems.TOO_LARGE, f"a body has at most {limit} bytes here", limit_bytes=limit)
        case "slow":
            return Problem(problems.REQUEST_TIMEOUT, f"a body comes within {limit:g} s here")
    return Problem(problems.OVERLOADED, "this process holds as many bodies as it may", retry_after_s=_RETRY_S)
