"""HTTP: serves an aiohttp application, and answers errors as problem details."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from relay_runtime.connection import SERVER
from relay_runtime.drain import Sessions
from relay_runtime.open_files import ConnectionLimit
from relay_runtime.refusal import refusal
from relay_runtime.site import Site
from relay_settings.host import in_url
from relay_telemetry.counter import counter
from relay_wire import close_codes, problems
from relay_wire.close_codes import CloseCode
from relay_wire.problems import Problem, ProblemType

SOCKET_ERRORS = counter(
    "relay_http_socket_errors_total",
    "WebSockets closed because their handler failed, by close code.",
    code=sorted({close_codes.of_problem(kind).name for kind in problems.REGISTRY.values()}),
)

log = structlog.get_logger(__name__)

Translations = Mapping[type[Any], tuple[ProblemType, str] | Callable[[Any], Problem]]
"""Exception to its problem: a kind and its detail, or a function of the exception."""

_DEFECT = (problems.INTERNAL, "the error is in the log")
_EVERYWHERE: Translations = {
    web.RequestPayloadError: (problems.BAD_REQUEST, "the body is not what the header says, or broke off"),
    RecursionError: (problems.BAD_REQUEST, "the message is nested too deeply"),
    UnicodeError: (problems.BAD_REQUEST, "the request has text that is not UTF-8"),
}
_BUSY = 503
"""A status after which clients retry."""
_BY_STATUS = {
    400: (problems.BAD_REQUEST, "the request cannot be understood"),
    404: (problems.NOT_FOUND, "no such path"),
    405: (problems.METHOD_NOT_ALLOWED, "this path has other methods"),
    413: (problems.TOO_LARGE, "the body exceeds the limit"),
}


@asynccontextmanager
async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    header_s: float = 10.0,
    keepalive_s: float = 75.0,
    connection_limit: ConnectionLimit | None = None,
    leaving: Callable[[], bool] = lambda: False,
) -> AsyncIterator[str]:
    """Serve an application while the block runs; yields its base URL.

    Leaving stops accepting, then waits up to a second for running handlers and cancels them.

    Args:
        app: What to serve.
        host: Where; ``::`` is every address of both families.
        port: 0 is any free port.
        tls: Encrypts every connection; None: none.
        header_s: How long a connection may take to send its first request's header.
        keepalive_s: The longest time between requests, the next one's header included.
        connection_limit: Limits its connections; None: no limit.
        leaving: Whether connections are closed after their next answer, so that clients reconnect elsewhere.

    Raises:
        OSError: The address cannot be bound.
    """
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = Site(
            runner,
            host,
            port,
            tls=tls,
            header_s=header_s,
            keepalive_s=keepalive_s,
            connection_limit=connection_limit or ConnectionLimit(sys.maxsize),
            leaving=leaving,
        )
        await site.start()
        bound = runner.addresses[0][1]
        scheme = "https" if tls else "http"
        yield f"{scheme}://{in_url(host)}:{bound}"
    finally:
        await runner.cleanup()


class ErrorTable:
    """The problems with which a service answers its exceptions.

    Args:
        translations: Exception to its problem and detail. Exceptions with the same answer in every
            service, and defects, need no entry.
    """

    def __init__(self, translations: Translations) -> None:
        self._translations = {**translations, **_EVERYWHERE}

    def problem(self, error: Exception) -> Problem:
        """An exception as a problem; ``INTERNAL`` when it is a defect."""
        if isinstance(error, Problem):
            return error
        if isinstance(error, web.HTTPException):
            return Problem(*_BY_STATUS.get(error.status, _DEFECT))
        translation = next(
            (found for known, found in self._translations.items() if isinstance(error, known)), _DEFECT
        )
        if callable(translation):
            return translation(error)
        kind, detail = translation
        return Problem(kind, detail, retry_after_s=1 if kind.status == _BUSY else None)


class _Requests(Sessions[web.RequestHandler]):
    """Running requests, each by its connection."""

    closed = False
    """Whether further requests are refused."""


_REQUESTS = web.AppKey("requests", _Requests)
_ERRORS = web.AppKey("errors", ErrorTable)
_SOCKET = web.RequestKey("socket", web.WebSocketResponse)
"""The request's response, once it is a WebSocket: from then on nothing else can be answered."""


def application(translations: Translations, *middlewares: Middleware, **options: Any) -> web.Application:
    """An application that answers every error: by a problem, on an open socket by a close code.

    The errors are the translated exceptions, problems, aiohttp's own, and defects.

    Args:
        translations: As ``ErrorTable``.
        middlewares: Further ones, from the outside in.
        options: Of ``web.Application``.
    """
    app = web.Application(middlewares=[_answer_errors, *middlewares], **options)
    app[_ERRORS] = ErrorTable(translations)
    app[_REQUESTS] = _Requests()
    app.on_response_prepare.append(_on_prepare)
    return app


def errors_of(request: web.Request) -> ErrorTable:
    """The error table of the request's application."""
    return request.config_dict[_ERRORS]


async def finish_requests(app: web.Application, within_s: float) -> None:
    """Refuse further requests, and wait until the running ones end, at most this long. Safe to cancel."""
    app[_REQUESTS].closed = True
    await app[_REQUESTS].gone_by(asyncio.get_running_loop().time() + within_s)


def bearer(request: web.Request) -> str | None:
    """The request's bearer token (RFC 6750); None when it has no such credentials."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def close_code(request: web.Request, error: Exception) -> CloseCode:
    """The code with which an error closes the request's WebSocket. Counts it; logs a defect."""
    problem = errors_of(request).problem(error)
    code = close_codes.of_problem(problem.kind)
    SOCKET_ERRORS.labels(code.name).inc()
    if problem.kind is problems.INTERNAL:
        log.error("a socket's handler failed", path=_logged_path(request), exc_info=error)
    return code


def plain_bodies(handler: Handler) -> Handler:
    """The same handler, for plain bodies: one with a ``Content-Encoding`` is refused with 415.

    Nothing decompresses bodies here: a megabyte of gzip can be a gigabyte.
    """

    async def plain(request: web.Request) -> web.StreamResponse:
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
        if request.body_exists and encoding not in ("", "identity"):
            raise Problem(problems.UNSUPPORTED_MEDIA, "Content-Encoding: send the body without one")
        return await handler(request)

    return plain


async def _on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER
    if isinstance(response, web.WebSocketResponse):
        request[_SOCKET] = response


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    requests = request.config_dict[_REQUESTS]
    if requests.closed:
        return refusal(Problem(problems.DRAINING, "this process is leaving, try another", retry_after_s=1))
    try:
        requests.add(request.protocol)
        try:
            return await handler(request)
        finally:
            requests.remove(request.protocol)
    except Exception as error:  # noqa: BLE001  # the root of every request
        socket = request.get(_SOCKET)
        if socket is not None and socket.prepared:
            return await _close(request, socket, error)
        return _refusal(request, error)


async def _close(
    request: web.Request, socket: web.WebSocketResponse, error: Exception
) -> web.WebSocketResponse:
    if not _is_gone(request):
        code = close_code(request, error)
        await socket.close(code=code.code, message=code.name.encode())
    return socket


def _refusal(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, web.HTTPException) and error.status not in _BY_STATUS:
        raise error
    if isinstance(error, ConnectionError) and _is_gone(request):
        return refusal(Problem(problems.BAD_REQUEST, "the client left before the answer"))
    problem = errors_of(request).problem(error)
    if problem.kind is problems.INTERNAL:
        log.error("request failed", path=_logged_path(request), exc_info=error)
    response = refusal(problem)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response


def _logged_path(request: web.Request) -> str:
    """The path without a token that is a part of it."""
    token = request.match_info.get("token")
    return request.path.replace(token, "***") if token else request.path


def _is_gone(request: web.Request) -> bool:
    """Whether the client has left: no answer reaches it."""
    return request.transport is None or request.transport.is_closing()
