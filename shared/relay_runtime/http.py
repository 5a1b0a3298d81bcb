"""The HTTP shell: serving an aiohttp application, and answering errors as problem details."""

import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter

from relay_runtime.site import Site
from relay_wire import problems
from relay_wire.problems import Problem, ProblemType

PROBLEMS = Counter("relay_http_problems_total", "Requests refused, by kind of problem.", ["problem"])

UNREADABLE = Counter("relay_http_unreadable_total", "Requests that are no HTTP.")

log = structlog.get_logger(__name__)

_BY_STATUS = {
    400: (problems.BAD_REQUEST, "the request cannot be understood"),
    404: (problems.NOT_FOUND, "no such path"),
    405: (problems.METHOD_NOT_ALLOWED, "this path has other methods"),
    413: (problems.TOO_LARGE, "the body exceeds the limit"),
}


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether the server logs a mistake of ours: a sender's would bring its header, keys and all."""
    error = record.exc_info[1] if record.exc_info else None
    unreadable = isinstance(error, HttpProcessingError)
    UNREADABLE.inc(unreadable)
    return not unreadable


logging.getLogger("aiohttp.server").addFilter(_is_ours)


@asynccontextmanager
async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    header_s: float = 10.0,
    keepalive_s: float = 75.0,
) -> AsyncIterator[str]:
    """Serve an application while the block runs; yields its base URL.

    Leaving stops accepting, then waits up to a second for running handlers and cancels them.

    Args:
        app: What to serve.
        host: Where.
        port: 0 takes a free one.
        tls: Encrypts every connection; None: none.
        header_s: How long a connection may take to send its first request's header.
        keepalive_s: How long it may then wait between requests, the next one's header included.

    Raises:
        OSError: The address cannot be bound.
    """
    runner = web.AppRunner(
        app, handle_signals=False, access_log=None, shutdown_timeout=1.0, keepalive_timeout=keepalive_s
    )
    await runner.setup()
    try:
        await Site(runner, host, port, tls=tls, header_s=header_s).start()
        bound = runner.addresses[0][1]
        scheme = "https" if tls else "http"
        yield f"{scheme}://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{bound}"
    finally:
        await runner.cleanup()


def problem_response(problem: Problem) -> web.Response:
    """A problem as an RFC 9457 response, counted."""
    PROBLEMS.labels(problem.kind.name).inc()
    headers = {problems.PROBLEM_HEADER: problem.kind.name}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return web.json_response(
        problem.body(), status=problem.kind.status, headers=headers, content_type=problems.CONTENT_TYPE
    )


def problem_middleware(translations: Mapping[type[Any], tuple[ProblemType, str]]) -> Middleware:
    """Answer every error as a problem: ours, aiohttp's own, the given exceptions, and defects as 500.

    Args:
        translations: Exception to its problem and detail.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return problem_response(problem)
        except web.HTTPException as error:
            if error.status not in _BY_STATUS:
                raise
            response = problem_response(Problem(*_BY_STATUS[error.status]))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except tuple(translations) as error:
            problem_type, detail = next(
                translation for kind, translation in translations.items() if isinstance(error, kind)
            )
            retry_after_s = 1 if problem_type.status == problems.STORE_UNAVAILABLE.status else None
            return problem_response(Problem(problem_type, detail, retry_after_s=retry_after_s))
        except Exception:
            log.exception("request failed", path=request.path)
            return problem_response(Problem(problems.INTERNAL, "the error is in the log"))

    return middleware
