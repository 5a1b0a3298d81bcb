"""Admission: the limits on who may connect, how many and how often, all checked before a socket opens."""

import asyncio
import math

import structlog
from aiohttp import hdrs, web

from relay_gateway.address import FORWARDINGS, Forwarding, address_of
from relay_gateway.refusals import ViewerRefusal
from relay_runtime.token_bucket import TokenBuckets
from relay_settings.limits import LimitSettings
from relay_settings.origins import Origins
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem, ProblemType

RETRY_S = 5
"""When to try again after a concurrency limit: a viewer may have left."""

LIMITED = counter(
    "relay_gateway_limited_total",
    "Requests refused and sockets closed by a limit.",
    limit=(
        "gateway",
        "address",
        "conversation",
        "uploads",
        "requests",
        "origin",
        "messages",
        "bytes",
        "idle",
        "message_size",
    ),
)
FORWARDED = counter(
    "relay_gateway_forwarded_total", "Requests, by how X-Forwarded-For was used.", forwarding=FORWARDINGS
)
_WARNINGS: dict[Forwarding, str] = {
    "ignored": "X-Forwarded-For is ignored: set RELAY_TRUSTED_PROXIES if a proxy of yours writes it",
    "absent": "X-Forwarded-For has fewer entries than RELAY_TRUSTED_PROXIES: the proxy counts as the client",
    "unreadable": "X-Forwarded-For has no address in it: the proxy counts as the client",
}

log = structlog.get_logger(__name__)


class ConcurrencyLimit:
    """How many may exist at once, for each key.

    Args:
        limit: The number.
        name: Of the limit, in metrics.
        full: The problem when the limit is reached.
    """

    def __init__(self, limit: int, *, name: str, full: ProblemType) -> None:
        self._limit = limit
        self._name = name
        self._full = full
        self._used: dict[str, int] = {}

    def acquire(self, key: str = "") -> None:
        """Count one more; pair with ``release``.

        Raises:
            Problem: The limit of the key is reached.
        """
        used = self._used.get(key, 0)
        if used >= self._limit:
            LIMITED.labels(self._name).inc()
            raise Problem(self._full, f"the limit is {self._limit}", retry_after_s=RETRY_S)
        self._used[key] = used + 1

    def release(self, key: str = "") -> None:
        """Count one less."""
        self._used[key] -= 1
        if not self._used[key]:
            del self._used[key]


class Admission:
    """The limits a request passes before a socket opens.

    Args:
        settings: The limits.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._proxies = settings.trusted_proxies
        self._warned = set[Forwarding]()
        self._origins = Origins(settings.origins)
        self._requests = TokenBuckets(settings.requests_per_s, settings.requests_burst)
        self._gateway = ConcurrencyLimit(settings.max_viewers, name="gateway", full=problems.GATEWAY_FULL)
        self._addresses = ConcurrencyLimit(
            settings.max_address_viewers, name="address", full=problems.TOO_MANY_CONNECTIONS
        )
        self.conversations = ConcurrencyLimit(
            settings.max_conversation_viewers, name="conversation", full=problems.CONVERSATION_FULL
        )
        """Viewers by conversation."""

    def check_rate(self, request: web.Request) -> str:
        """Count a request against the rate of its address.

        Returns:
            The address, for ``acquire``.

        Raises:
            Problem: There are too many requests from this address.
        """
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
        address, forwarding = address_of(request.remote or "", forwarded, self._proxies)
        self._note(forwarding)
        wait_s = self._requests.consume(address, asyncio.get_running_loop().time())
        if wait_s:
            LIMITED.labels("requests").inc()
            raise Problem(
                problems.RATE_LIMITED, "too many requests from this address", retry_after_s=math.ceil(wait_s)
            )
        return address

    def acquire(self, address: str) -> None:
        """Count a viewer from its upgrade request on; pair with ``release``.

        Raises:
            Problem: The limit of its address, or of this gateway, is reached.
        """
        self._addresses.acquire(address)
        try:
            self._gateway.acquire()
        except Problem:
            self._addresses.release(address)
            raise

    def release(self, address: str) -> None:
        """Count a viewer that has left no more."""
        self._addresses.release(address)
        self._gateway.release()

    def check_origin(self, request: web.Request) -> None:
        """Refuse pages of origins that may not open sockets here.

        Raises:
            Problem: The page's origin is not allowed.
        """
        # Browsers let any page open a socket anywhere, and always send the page's origin (RFC 6455 10.2). No
        # page can set Authorization; apps do, and their frameworks send origins of all kinds.
        if hdrs.AUTHORIZATION in request.headers:
            return
        origins = request.headers.getall(hdrs.ORIGIN, [])
        if all(self._origins.allow(origin, self._hosts(request)) for origin in origins):
            return
        LIMITED.labels("origin").inc()
        raise ViewerRefusal(
            problems.FORBIDDEN,
            "pages of this origin are not in RELAY_ORIGINS",
            cause="origin",
            setting="RELAY_ORIGINS",
        )

    def _note(self, forwarding: Forwarding) -> None:
        FORWARDED.labels(forwarding).inc()
        if forwarding in _WARNINGS and forwarding not in self._warned:
            self._warned.add(forwarding)
            log.warning(_WARNINGS[forwarding], trusted_proxies=self._proxies)

    def _hosts(self, request: web.Request) -> list[str]:
        """The names of this gateway in the request: its Host, and those that our proxies received."""
        forwarded = request.headers.getall(hdrs.X_FORWARDED_HOST, []) if self._proxies else []
        return [request.host, *(host.strip() for line in forwarded for host in line.split(","))]
