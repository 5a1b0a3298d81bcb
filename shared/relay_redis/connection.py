"""Connections: one socket to one Redis server, and the endpoints that say which server that is."""

import asyncio
import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog
from prometheus_client import Gauge
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.backoff import EqualJitterBackoff
from redis.driver_info import DriverInfo

from relay_redis.credentials import take_credentials
from relay_redis.refusals import REASONS
from relay_settings.redis_url import Address, node_addresses, reachable
from relay_telemetry.counter import OPEN, counter, expect
from relay_telemetry.throttle import Throttle

RECONNECTS = counter("relay_redis_reconnects_total", "Connections to Redis that were lost.", client=OPEN)
CONNECTED = Gauge("relay_redis_connected", "Whether a Redis client is connected.", ["client"])
REFUSALS = counter(
    "relay_redis_refusals_total", "Commands that Redis answered with an error.", client=OPEN, reason=REASONS
)
VIOLATIONS = counter(
    "relay_redis_violations_total",
    "Connections ended for a reply that no command of ours can have (protocol), or for a defect of ours.",
    client=OPEN,
    kind=("protocol", "defect"),
)
FAILOVERS = counter("relay_redis_failovers_total", "Primaries found to have been replaced.", client=OPEN)

RECONNECT_WAIT = EqualJitterBackoff(cap=1.0, base=0.05)
"""Between attempts to reach Redis: 25-50 ms first, doubled up to 0.5-1 s."""

log = structlog.get_logger(__name__)

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
    options.pop("node_addresses", None)
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


async def connect_primary(settings: Mapping[str, Any], *, name: str, timeout_s: float) -> Connection:
    """``connect``, and take no replica for a primary. A server that does not tell its role counts as one."""
    connection = await connect(settings, name=name, timeout_s=timeout_s)
    try:
        _verify(await ask(connection, "ROLE", timeout_s=timeout_s))
    except exceptions.ResponseError:
        return connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def _verify(role: Any) -> None:
    if not isinstance(role, list) or not role or not isinstance(role[0], bytes):
        raise exceptions.InvalidResponse("redis does not answer ROLE with a role")
    if role[0] != b"master":
        raise exceptions.ConnectionError("the server is no primary")


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


class Losses:
    """Counts and logs the ends of a link's connections; the lines of those that follow closely are held back.

    Args:
        name: Of the link.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._throttle = Throttle()
        for metric in (RECONNECTS, FAILOVERS, REFUSALS, VIOLATIONS):
            expect(metric, client=name)

    def count(self, error: Exception) -> str:
        """Note why a connection ended; returns it for people."""
        reason = str(error) or repr(error)
        RECONNECTS.labels(self._name).inc()
        if isinstance(error, exceptions.InvalidResponse):
            kind = "protocol"
        else:
            kind = "" if isinstance(error, exceptions.RedisError | OSError) else "defect"
        if kind:
            VIOLATIONS.labels(self._name, kind).inc()
        if kind == "defect":
            reason = f"{error!r} in {_origin(error)}"
        held_back = self._throttle.admit(kind)
        if held_back is not None:
            log.warning("redis connection lost", client=self._name, error=reason, held_back=held_back)
        return reason


def _origin(error: Exception) -> str:
    """Where it was raised. A formatted traceback would read source files, on the event loop."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{frame.f_code.co_filename}:{line}"


class FixedEndpoint:
    """The one server of a URL. Its name is looked up at each attempt, and a replica is not good enough.

    Args:
        settings: As ``settings_of`` reads them from a URL.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""
        return await connect_primary(self._settings, name=name, timeout_s=timeout_s)


class NodeEndpoint:
    """A node of a cluster, which tells by itself what it does not serve.

    Args:
        settings: As ``settings_of`` reads them from a URL.
        address: Where it is.
    """

    def __init__(self, settings: Mapping[str, Any], address: Address) -> None:
        self._settings = at(settings, address)

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""
        return await connect(self._settings, name=name, timeout_s=timeout_s)


def settings_of(plain_url: str) -> dict[str, Any]:
    """What the URL of one server says of connecting to it.

    Raises:
        SettingsError: It names a credential provider that cannot be imported.
    """
    settings: dict[str, Any] = dict(parse_url(plain_url))
    settings["node_addresses"] = node_addresses(settings.get("node_addresses", ""))
    take_credentials(settings)
    return settings


def at(settings: Mapping[str, Any], address: Address) -> dict[str, Any]:
    """The same settings for another server, by the address that it announces."""
    host, port = reachable(address, settings["node_addresses"])
    return {**settings, "host": host, "port": port}
