"""Request bodies: read after the request is admitted, within limits of size, time and memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import HttpVersion11, hdrs, web
from prometheus_client import Gauge

from relay_settings.control import ControlSettings
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem

BODY_BYTES = Gauge("relay_control_body_bytes", "Bytes of request bodies held now.")
REFUSED = counter(
    "relay_control_bodies_refused_total",
    "Request bodies refused: too large, too slow, or no memory left.",
    reason=("large", "slow", "full"),
)
JSON_BYTES = 64 * 1024
"""Largest JSON body."""
_CONTINUE = "100-continue"
_RETRY_S = 1


class Bodies:
    """Reads request bodies, and counts their bytes against the limit of the process.

    Args:
        settings: Control's settings.
    """

    def __init__(self, settings: ControlSettings) -> None:
        self._turn_bytes = settings.max_turn_bytes
        self._limit_bytes = settings.max_bodies_bytes
        self._timeout_s = settings.body_timeout_s
        self._held_bytes = 0

    @asynccontextmanager
    async def audio(self, request: web.Request, *, most_bytes: int | None = None) -> AsyncIterator[bytes]:
        """Read audio: of a turn, unless there is another bound. Its bytes count until the block ends.

        Raises:
            Problem: The body is too large, arrives too slowly, or exceeds the limit of the process.
        """
        async with self._read(request, most_bytes or self._turn_bytes) as body:
            yield body

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Count bytes that a request brings into memory in another way.

        Raises:
            Problem: They exceed the limit of the process.
        """
        if self._held_bytes + size_bytes > self._limit_bytes:
            raise _refused("full", self._limit_bytes)
        self._hold(size_bytes)
        try:
            yield
        finally:
            self._hold(-size_bytes)

    @asynccontextmanager
    async def json(self, request: web.Request) -> AsyncIterator[bytes]:
        """Read a small body, as ``audio`` does."""
        async with self._read(request, min(JSON_BYTES, self._turn_bytes)) as body:
            yield body

    @asynccontextmanager
    async def _read(self, request: web.Request, most_bytes: int) -> AsyncIterator[bytes]:
        if (request.content_length or 0) > most_bytes:
            raise _refused("large", most_bytes)
        await _send_continue(request)
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


async def defer_continue(_request: web.Request) -> None:
    """The ``Expect`` handler of a route: ``Bodies`` sends 100 once a request is admitted."""


async def _send_continue(request: web.Request) -> None:
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    if expected == _CONTINUE and request.version == HttpVersion11:
        writer = request._payload_writer  # noqa: SLF001  # aiohttp's own handler does the same
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0


def _refused(reason: str, limit: float) -> Problem:
    REFUSED.labels(reason).inc()
    match reason:
        case "large":
            return Problem(problems.TOO_LARGE, f"the body may have at most {limit} bytes", limit_bytes=limit)
        case "slow":
            return Problem(problems.REQUEST_TIMEOUT, f"the body did not arrive within {limit:g} s")
    return Problem(
        problems.OVERLOADED, "the request bodies of this process are at their limit", retry_after_s=_RETRY_S
    )
