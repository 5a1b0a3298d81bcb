"""Connections: one socket to one Redis server, opened and authenticated by redis-py."""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.driver_info import DriverInfo

from relay_redis.credentials import set_credential_provider
from relay_settings.redis_url import Address, node_addresses, reachable

_DRIVER = DriverInfo()
"""The client's library name and version for CLIENT SETINFO; made once, since it reads the package's metadata
from disk."""


def settings_of(plain_url: str) -> dict[str, Any]:
    """The connection settings in the URL of one server.

    Raises:
        SettingsError: The URL names a credential provider that cannot be imported.
    """
    settings: dict[str, Any] = dict(parse_url(plain_url))
    settings["node_addresses"] = node_addresses(settings.get("node_addresses", ""))
    set_credential_provider(settings)
    return settings


def settings_at(settings: Mapping[str, Any], address: Address) -> dict[str, Any]:
    """The same settings for another server, by the address that it announces."""
    host, port = reachable(address, settings["node_addresses"])
    return {**settings, "host": host, "port": port}


async def connect(settings: Mapping[str, Any], *, name: str, timeout_s: float) -> Connection:
    """Open a connection to one server. Cancelling is safe.

    Args:
        settings: As ``settings_of`` reads them from a URL.
        name: Shown by CLIENT LIST, after ``relay-``.
        timeout_s: Limit for connecting, TLS and AUTH together. Later writes and reads have none: the
            caller limits them.

    Raises:
        RedisError: The server refuses the connection.
        OSError: The server cannot be reached.
        TimeoutError: The connection was not open in time.
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


async def call(connection: Connection, *command: str | bytes | int, timeout_s: float) -> Any:
    """Send one command over a connection that has no other user, and read its reply.

    Raises:
        RedisError: The command is refused, or the connection breaks.
        TimeoutError: No reply in time.
    """
    async with asyncio.timeout(timeout_s):
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(timeout=math.inf)


async def connect_primary(settings: Mapping[str, Any], *, name: str, timeout_s: float) -> Connection:
    """``connect`` to a server that is a primary by its ROLE, or that refuses ROLE.

    Raises:
        ConnectionError: The server is a replica; and as ``connect`` does.
    """
    connection = await connect(settings, name=name, timeout_s=timeout_s)
    try:
        _verify_primary(await call(connection, "ROLE", timeout_s=timeout_s))
    except exceptions.ResponseError:
        return connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def _verify_primary(role: Any) -> None:
    if not isinstance(role, list) or not role or not isinstance(role[0], bytes):
        raise exceptions.InvalidResponse("the reply to ROLE has no role")
    if role[0] != b"master":
        raise exceptions.ConnectionError("the server is no primary")
