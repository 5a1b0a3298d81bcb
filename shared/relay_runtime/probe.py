"""Probes: what balancers ask on a service's own port, which is all that they can reach."""

from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

PATH = "/healthz"

_ANY_ORIGIN = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
"""Pages read it, too, and it is public."""
_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD)


def answer_probes(ready: Callable[[], bool]) -> Middleware:
    """A middleware that answers the health path: 200 when the process takes work, else 503.

    It stands before all limits, since a balancer that is refused takes the process for dead; it says no more
    than that, since everybody can ask.

    Args:
        ready: Whether the process takes work. Must be cheap: no I/O.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != PATH or request.method not in _METHODS:
            return await handler(request)
        ok = ready()
        # The fields are those that the vendor's clients read at their demo servers.
        body = {"ok": ok, "missing": []}
        return web.json_response(body, status=200 if ok else 503, headers=_ANY_ORIGIN)

    return middleware
