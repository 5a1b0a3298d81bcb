"""Connections: aiohttp's HTTP protocol, with bounds on the work that one client causes.

Only this module knows internals of aiohttp's server. A mistake of a client is answered or ends the client's
own connection, and is never logged as a defect: the log line would contain its header, keys included.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from prometheus_client import Counter

from relay_runtime.frames import ClientFrames
from relay_runtime.open_files import ConnectionLimit
from relay_runtime.refusal import refusal
from relay_wire import problems
from relay_wire.problems import Problem

SERVER = "avatar-relay"
"""The ``Server`` header, without a version."""
SLICE_BYTES = 8 * 1024
"""The most bytes of one connection that are parsed in one loop tick."""
LINGER_S = 5.0
"""How long the rest of an unread body is received and discarded, so that the answer arrives."""
LINGER_BYTES = 32 * 2**20
"""How many bytes of it are discarded before the connection is closed."""
_SHORT_BODY_BYTES = 64 * 1024
"""The rest of a declared body up to this size is awaited; the connection of a longer one is closed."""

_DEADLINE_SLACK = 0.01
"""Part of a deadline by which it may be late: many silent connections are closed together."""

UNREADABLE = Counter("relay_http_unreadable_total", "Requests and bodies that are not valid HTTP.")
UNREAD = Counter("relay_http_unread_total", "Connections closed because an unread body was too long.")
UNFINISHED = Counter(
    "relay_http_unfinished_total", "Connections closed because no complete request header came in time."
)

_CLIENT_MISTAKES = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Connection(RequestHandler):
    """One client's connection.

    Args:
        manager: The server.
        deadlines: Closes it when its first request does not come in time.
        connection_limit: Limits the connections; one beyond the limit is closed at once.
        leaving: Whether it is closed after its next answer, so that the client reconnects elsewhere.
        options: Further ones of ``RequestHandler``.
    """

    __slots__ = (
        "_allow_frames",
        "_deadlines",
        "_discarded_bytes",
        "_frames",
        "_ignores_input",
        "_leaving",
        "_limit",
        "_next_slice",
        "_parsed_bytes",
        "_uncounted_frames",
        "_unparsed",
        "_unread",
    )  # fmt: skip

    def __init__(
        self,
        manager: web.Server,
        *,
        deadlines: "HeaderDeadlines",
        connection_limit: ConnectionLimit,
        leaving: Callable[[], bool],
        **options: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        # Bodies stay as they came: a handler that admits a request may inflate, the server must not.
        super().__init__(manager, loop=loop, auto_decompress=False, lingering_time=LINGER_S, **options)
        self._logging_enabled = False  # of aiohttp's access log
        self._leaving = leaving
        self._limit: ConnectionLimit | None = connection_limit
        """The limit it is counted in; None when it was beyond it."""
        self._unread: StreamReader | None = None
        """The body of a request that was answered before the body's end."""
        self._discarded_bytes = 0
        self._unparsed, self._parsed_bytes = b"", 0
        """Bytes that were read and are too many for one loop tick, and how many of them are parsed."""
        self._next_slice: asyncio.Handle | None = None
        self._frames = ClientFrames()
        self._uncounted_frames = 0
        self._allow_frames: Callable[[int], bool] | None = None
        self._ignores_input = False
        self._deadlines = deadlines
        deadlines.add(self)

    def expire(self) -> None:
        """Close the connection unless its first request has come."""
        # aiohttp's own limit on idle connections counts from request to request, and is longer.
        if self.transport is not None and not self._request_count:
            UNFINISHED.inc()
            self.force_close()

    # --- bytes that come in ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Part of ``asyncio.Protocol``. Parses a large read slice by slice.

        Between two slices the event loop serves other connections: a slice of the smallest frames takes a few
        milliseconds to parse, a whole read a hundred.
        """
        if not data:  # aiohttp's own call: continue with the parser's buffer
            super().data_received(data)
        elif self._unparsed:
            self._unparsed = self._unparsed[self._parsed_bytes :] + data
            self._parsed_bytes = 0
        elif len(data) <= SLICE_BYTES:
            self._parse(data)
        else:
            self._unparsed, self._parsed_bytes = data, 0
            self._pause_transport_reading()
            self._parse_slice()

    def _parse_slice(self) -> None:
        self._next_slice = None
        if self._force_close or self._close:
            self._unparsed = b""
        elif not self._is_parsing_paused():
            begin = self._parsed_bytes
            self._parsed_bytes += SLICE_BYTES
            data = self._unparsed[begin : self._parsed_bytes]
            if self._parsed_bytes >= len(self._unparsed):
                self._unparsed = b""
            self._parse(data)
            if not self._is_parsing_paused():
                self._resume_transport_reading()

    def _is_parsing_paused(self) -> bool:
        """Whether parsed messages must be consumed before more bytes are parsed."""
        return self._reading_paused or self._buffer_paused

    def _resume_transport_reading(self) -> None:
        if not self._unparsed:
            super()._resume_transport_reading()
        elif self._next_slice is None:
            self._next_slice = self._loop.call_soon(self._parse_slice)

    def _parse(self, data: bytes) -> None:
        self._count_discarded(len(data))
        if self._force_close:
            return
        if self._payload_parser is not None:
            frames, data = self._frames.feed(data)
            self._count_frames(frames)
        if data and not self._ignores_input:
            super().data_received(data)

    def _count_discarded(self, count: int) -> None:
        """Count bytes of the unread body; more than the limit close the connection."""
        if self._unread is None or self._unread.is_eof():
            return
        self._discarded_bytes += count
        if self._discarded_bytes > LINGER_BYTES:
            UNREAD.inc()
            self.force_close()

    # --- frames ----------------------------------------------------------------------------------

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """Part of ``RequestHandler``: the connection is a WebSocket from here on."""
        # Bytes behind the upgrade request are parsed as those that come later.
        data, self._message_tail = self._message_tail, b""
        super().set_parser(parser, data_received_cb)
        if self._unparsed:  # these bytes came later
            self._unparsed, self._parsed_bytes = data + self._unparsed[self._parsed_bytes :], 0
        elif data:
            self.data_received(data)

    def limit_frames(self, allow: Callable[[int], bool]) -> None:
        """Bound the frames of a WebSocket.

        Args:
            allow: Called with the number of new frames, before they are parsed. When it returns False,
                nothing is parsed any more; it closes the socket.
        """
        self._allow_frames = allow
        self._count_frames(0)

    def _count_frames(self, frames: int) -> None:
        self._uncounted_frames += frames
        if self._allow_frames is None or self._ignores_input:
            return
        frames, self._uncounted_frames = self._uncounted_frames, 0
        self._ignores_input = not self._allow_frames(frames)

    # --- open and closed -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of ``asyncio.Protocol``."""
        if self._limit is not None and self._limit.acquire():
            super().connection_made(transport)
        else:
            self._limit = None
            cast(asyncio.Transport, transport).abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of ``asyncio.Protocol``."""
        self._deadlines.remove(self)
        self._allow_frames = None
        self._unparsed = b""
        if self._limit is None:
            return
        self._limit.release()
        self._unread = None
        super().connection_lost(exc)
        # Requests that were not handled, and their bodies.
        self._messages.clear()
        self._message_tail = b""

    def _handle_request(
        self, request: BaseRequest, start_time: float | None, request_handler: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        # No coroutine of its own: every open socket would keep its frame.
        self._unread = None
        self._deadlines.remove(self)
        handler = request_handler if _is_text(request) else _refuse_text
        return super()._handle_request(request, start_time, handler)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of an answer; the connection closes after it when a long body is unread."""
        _cut_cycle(request)
        if not request.content.is_eof() and self.transport is not None:
            self._unread, self._discarded_bytes = request.content, 0
            if (request.content_length or LINGER_BYTES) > _SHORT_BODY_BYTES:
                resp.force_close()
        if self._leaving():
            resp.force_close()
        if not resp.prepared:
            resp.headers[hdrs.SERVER] = SERVER
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are not a valid request."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        UNREADABLE.inc()
        response = refusal(Problem(problems.BAD_REQUEST, "this is not HTTP, or not as it is read here"))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a defect; a mistake of the client is only counted."""
        if isinstance(kw.get("exc_info") or sys.exc_info()[1], _CLIENT_MISTAKES):
            UNREADABLE.inc()
        else:
            super().log_exception(*args, **kw)


class HeaderDeadlines:
    """The deadlines of connections for their first request's header: one timer for all of them.

    Args:
        header_s: The time from the connection to the end of the header, TLS included. A client that sends a
            byte now and then has no more time.
    """

    def __init__(self, header_s: float) -> None:
        self._header_s = header_s
        self._waiting: dict[Connection, float] = {}
        """Deadlines in their order, since all connections have the same time."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Expire a connection at its deadline, unless it is removed before."""
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.time() + self._header_s
        if self._timer is None:
            self._timer = loop.call_later(self._header_s, self._expire)

    def remove(self, connection: Connection) -> None:
        """Cancel the deadline of a connection that has sent its first request, or is closed."""
        self._waiting.pop(connection, None)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for connection, deadline in list(self._waiting.items()):
            if deadline > now:
                next_at = max(deadline, now + self._header_s * _DEADLINE_SLACK)
                self._timer = loop.call_at(next_at, self._expire)
                return
            del self._waiting[connection]
            connection.expire()


def _is_text(request: BaseRequest) -> bool:
    """Whether the request's line and header are UTF-8; aiohttp makes surrogates of other bytes."""
    try:
        request.raw_path.encode()
        for part in (part for field in request.raw_headers for part in field):
            part.decode()
    except UnicodeError:
        return False
    return True


async def _refuse_text(_request: BaseRequest) -> web.StreamResponse:
    return refusal(Problem(problems.BAD_REQUEST, "the header has text that is not UTF-8"))


def _cut_cycle(request: BaseRequest) -> None:
    """Release a body that broke off: the traceback of its error refers to frames that refer to it."""
    error = request.content.exception()
    if error is not None:
        error.__traceback__ = None
