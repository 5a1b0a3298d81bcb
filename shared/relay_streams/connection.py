"""Connections: one socket to one Redis server, and the endpoints that say which server that is."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from prometheus_client import Counter, Gauge
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.backoff import EqualJitterBackoff
from redis.driver_info import DriverInfo

from relay_settings.redis_url import Address

RECONNECTS = Counter("relay_redis_reconnects_total", "Connections to Redis that were lost.", ["link"])
CONNECTED = Gauge("relay_redis_connected", "Whether a link to Redis is up.", ["link"])
FAILOVERS = Counter("relay_redis_failovers_total", "Primaries found to have been replaced.", ["link"])

RECONNECT_WAIT = EqualJitterBackoff(cap=1.0, base=0.05)
"""Between attempts to reach Redis: 25-50 ms first, doubled up to 0.5-1 s."""

_DRIVER = DriverInfo()
"""What redis-py tells the server of itself; made once, since it reads the package's metadata from disk."""


async def connect(settings: Mapping[str, Any], *, name: str, timeout_s: float) -> Connection:
    """Open a connection to one server. Cancelling is safe.

    Args:
        settings: As ``settings_of`` reads them from a URL.
        name: Shown by CLIENT LIST, after ``relay-``.
        timeout_s: Limit for all of it. Later writes and reads have none: their caller watches over them.

    Raises:
        RedisError: It refuses us.
        OSError: It cannot be reached.
        TimeoutError: Not in time.
    """
    options = dict(settings)
    connection_class: type[Connection] = options.pop("connection_class", Connection)
    connection = connection_class(
        **options,
        # With a timeout redis-py wraps each write in asyncio.wait_for: a task per write, and on
        # Python 3.11 a lost cancellation.
        socket_timeout=None,
        socket_connect_timeout=None,
        health_check_interval=0,
        protocol=2,
        driver_info=_DRIVER,
        client_name=f"relay-{name}",
    )
    try:
        async with asyncio.timeout(timeout_s):
            if isinstance(connection, SSLConnection):
                await asyncio.to_thread(connection.ssl_context.get)  # reads the authorities' files
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def ask(connection: Connection, *command: str | bytes | int, timeout_s: float) -> Any:
    """Send one command over a connection nobody else uses, and read its reply.

    Raises:
        RedisError: It is refused, or the connection breaks.
        TimeoutError: No reply in time.
    """
    async with asyncio.timeout(timeout_s):
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(timeout=math.inf)


class Endpoint(Protocol):
    """Where a connection goes. Asked for each attempt anew, since a fail-over changes the answer."""

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""


async def use(
    endpoint: Endpoint, work: Callable[[Connection], Awaitable[None]], *, name: str, timeout_s: float
) -> None:
    """Open a connection, work with it until that ends, and close it. Raises and cancels as both do."""
    connection = await endpoint.open(name=name, timeout_s=timeout_s)
    try:
        await work(connection)
    finally:
        await connection.disconnect(nowait=True)


class FixedEndpoint:
    """A server that stays where it is.

    Args:
        settings: As ``settings_of`` reads them from a URL.
        address: Where it is, when not where they say.
    """

    def __init__(self, settings: Mapping[str, Any], address: Address | None = None) -> None:
        self._settings = settings if address is None else at(settings, address)

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""
        return await connect(self._settings, name=name, timeout_s=timeout_s)


def settings_of(plain_url: str) -> dict[str, Any]:
    """What the URL of one server says of connecting to it."""
    return dict(parse_url(plain_url))


def at(settings: Mapping[str, Any], address: Address) -> dict[str, Any]:
    """The same settings for another server."""
    return {**settings, "host": address.host, "port": address.port}
