"""Sentinels: the address of the current primary."""

from typing import Any

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.connection import call, connect, connect_primary, settings_at, settings_of
from relay_redis.metrics import FAILOVERS
from relay_settings.redis_url import Address, RedisUrl

SENTINEL_TIMEOUT_S = 0.5
"""How long one sentinel may take before the next one is queried."""

log = structlog.get_logger(__name__)


class SentinelEndpoint:
    """The primary of a name, by any of its sentinels, and verified to be a primary.

    Args:
        url: A Sentinel URL.
    """

    def __init__(self, url: RedisUrl) -> None:
        self._settings = settings_of(url.plain)
        username = self._settings.pop("sentinel_username", None)
        password = self._settings.pop("sentinel_password", None)
        self._sentinel_settings: dict[str, Any] = {
            **self._settings,
            "db": 0,
            "username": username,
            "password": password,
            "credential_provider": None,
        }
        self._sentinels = list(url.addresses)
        """In the order in which they are queried."""
        self._master = url.master
        self._primary: Address | None = None

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Query the sentinels for the primary, and connect to it.

        Raises:
            RedisError: No sentinel knows a primary, it is a replica still, or it refuses the connection.
            OSError: The primary cannot be reached.
            TimeoutError: The connection was not open in time.
        """
        primary = await self._find(name, min(timeout_s, SENTINEL_TIMEOUT_S))
        try:
            connection = await connect_primary(
                settings_at(self._settings, primary), name=name, timeout_s=timeout_s
            )
        except (exceptions.RedisError, OSError):
            # This sentinel's address may be outdated: query another the next time.
            self._sentinels.append(self._sentinels.pop(0))
            raise
        if self._primary not in (None, primary):
            FAILOVERS.labels(name).inc()
            log.warning("redis has a new primary", client=name, host=primary.host, port=primary.port)
        self._primary = primary
        return connection

    async def _find(self, name: str, timeout_s: float) -> Address:
        failure: Exception | None = None
        for _ in self._sentinels:
            try:
                reply = await self._query(self._sentinels[0], name, timeout_s)
                if reply is not None:
                    return _address(reply)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next one is queried
                failure = error
            self._sentinels.append(self._sentinels.pop(0))
        raise exceptions.ConnectionError(f"no sentinel knows a primary {self._master!r}") from failure

    async def _query(self, sentinel: Address, name: str, timeout_s: float) -> Any:
        connection = await connect(
            settings_at(self._sentinel_settings, sentinel), name=name, timeout_s=timeout_s
        )
        try:
            return await call(
                connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master, timeout_s=timeout_s
            )
        finally:
            await connection.disconnect(nowait=True)


def _address(reply: Any) -> Address:
    try:
        host, port = reply
        return Address(host.decode(), int(port))
    except (TypeError, ValueError, AttributeError):
        raise exceptions.InvalidResponse("a sentinel's reply is no address") from None
