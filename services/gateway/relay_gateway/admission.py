"""Admission: who is let in, how many, and how often. Everything here is decided before a socket opens."""

import asyncio
import math
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from relay_gateway.address import FORWARDINGS, Forwarding, address_of
from relay_runtime.token_bucket import TokenBuckets
from relay_settings.limits import LimitSettings
from relay_settings.origins import Origins
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem, ProblemType

RETRY_S = 5
"""When to ask again for a place: somebody may have left."""

LIMITED = counter(
    "relay_gateway_limited_total",
    "Requests refused and sockets closed by a limit.",
    limit=(
        "gateway",
        "address",
        "conversation",
        "requests",
        "origin",
        "messages",
        "bytes",
        "idle",
        "message_size",
    ),
)
FORWARDED = counter(
    "relay_gateway_forwarded_total", "Requests, by what became of X-Forwarded-For.", forwarding=FORWARDINGS
)
_WARNINGS: dict[Forwarding, str] = {
    "ignored": "X-Forwarded-For counts for nothing: set RELAY_TRUSTED_PROXIES if a proxy of yours writes it",
    "absent": "X-Forwarded-For has fewer entries than RELAY_TRUSTED_PROXIES: the proxy counts as the client",
    "unreadable": "X-Forwarded-For has what is no address: the proxy counts as the client",
}

log = structlog.get_logger(__name__)


class ConcurrencyLimit:
    """So many at a time, for each key.

    Args:
        limit: How many.
        name: Of the limit, in metrics.
        full: What those get that find no place.
    """

    def __init__(self, limit: int, *, name: str, full: ProblemType) -> None:
        self._limit = limit
        self._name = name
        self._full = full
        self._taken = Counts[str]()

    @contextmanager
    def take(self, key: str = "") -> Iterator[None]:
        """Have a place while the block runs.

        Raises:
            Problem: There is none.
        """
        if self._taken[key] >= self._limit:
            LIMITED.labels(self._name).inc()
            raise Problem(self._full, f"the limit is {self._limit}", retry_after_s=RETRY_S)
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


class Admission:
    """The gateway's doorkeeper."""

    def __init__(self, settings: LimitSettings) -> None:
        self._proxies = settings.trusted_proxies
        self._warned = set[Forwarding]()
        self._origins = Origins(settings.origins)
        self._requests = TokenBuckets(settings.requests_per_s, settings.requests_burst)
        self._gateway = ConcurrencyLimit(settings.max_viewers, name="gateway", full=problems.GATEWAY_FULL)
        self._addresses = ConcurrencyLimit(
            settings.max_address_viewers, name="address", full=problems.TOO_MANY_CONNECTIONS
        )
        self._conversations = ConcurrencyLimit(
            settings.max_conversation_viewers, name="conversation", full=problems.CONVERSATION_FULL
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask every request for its rate, and those that want a socket for a place.

        Raises:
            Problem: The request is refused.
        """
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
        address, forwarding = address_of(request.remote or "", forwarded, self._proxies)
        self._note(forwarding)
        self._check_rate(address)
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            return await handler(request)
        with self._addresses.take(address), self._gateway.take():
            return await handler(request)

    def audience_of(self, conversation: str) -> AbstractContextManager[None]:
        """A place among the viewers of a conversation while the block runs.

        Raises:
            Problem: There is none.
        """
        return self._conversations.take(conversation)

    def _note(self, forwarding: Forwarding) -> None:
        FORWARDED.labels(forwarding).inc()
        if forwarding in _WARNINGS and forwarding not in self._warned:
            self._warned.add(forwarding)
            log.warning(_WARNINGS[forwarding], trusted_proxies=self._proxies)

    def _check_rate(self, address: str) -> None:
        wait_s = self._requests.take(address, asyncio.get_running_loop().time())
        if wait_s:
            LIMITED.labels("requests").inc()
            raise Problem(
                problems.RATE_LIMITED, "too many requests from this address", retry_after_s=math.ceil(wait_s)
            )

    def check_origin(self, request: web.Request) -> None:
        """Refuse pages that are not to open sockets here.

        Raises:
            Problem: The page's origin is not allowed.
        """
        # Browsers let any page open a socket anywhere, and always say whose page it is (RFC 6455 10.2). No
        # page can set this header; apps do, and their frameworks send origins of all kinds.
        if hdrs.AUTHORIZATION in request.headers:
            return
        origins = request.headers.getall(hdrs.ORIGIN, [])
        if all(self._origins.allow(origin, self._hosts(request)) for origin in origins):
            return
        LIMITED.labels("origin").inc()
        raise Problem(problems.FORBIDDEN, "pages of this origin are not in RELAY_ORIGINS")

    def _hosts(self, request: web.Request) -> list[str]:
        """What the request calls this gateway, and what our proxies say it was called before them."""
        forwarded = request.headers.getall(hdrs.X_FORWARDED_HOST, []) if self._proxies else []
        return [request.host, *(host.strip() for line in forwarded for host in line.split(","))]
