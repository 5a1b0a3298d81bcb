"""Probes: the health path of a service's own port, the only one that balancers reach."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

PATH = "/healthz"

_ANY_ORIGIN = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
"""The answer is public, and pages of any origin may read it."""
_NOT_READY = "a server that is ready: try again"
_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD)


def answer_probes(ready: Callable[[], bool]) -> Middleware:
    """A middleware that answers the health path: 200 when the process accepts work, else 503.

    It precedes all limits, since a balancer that is refused considers the process dead; the answer has no
    details, since anybody can request it.

    Args:
        ready: Whether the process accepts work. Must be cheap: no I/O.
    """

    # No coroutine of its own: every open socket would keep its frame.
    @web.middleware
    def middleware(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        if request.path == PATH and request.method in _METHODS:
            return _answer(ready())
        return handler(request)

    return middleware


async def _answer(ok: bool) -> web.StreamResponse:  # noqa: FBT001  # the answer itself
    return probe_response(ok)


def probe_response(ok: bool) -> web.Response:  # noqa: FBT001  # the answer itself
    """The answer to a probe, with the fields that the vendor's clients read from their demo servers."""
    # Those clients show what is missing, and without a word an empty list.
    body = {"ok": ok, "missing": [] if ok else [_NOT_READY]}
    return web.json_response(body, status=200 if ok else 503, headers=_ANY_ORIGIN)
