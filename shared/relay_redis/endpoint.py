"""Endpoints: which server a connection goes to. Resolved at each attempt, since a fail-over changes it."""

from collections.abc import Mapping
from typing import Any, Protocol

from redis.asyncio.connection import Connection

from relay_redis.connection import connect, connect_primary, settings_at, settings_of
from relay_redis.sentinel import SentinelEndpoint
from relay_settings.redis_url import Address, RedisUrl


class Endpoint(Protocol):
    """A server that a connection goes to."""

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""


class FixedEndpoint:
    """The one server of a URL, which must be a primary. Its host name is resolved at each attempt.

    Args:
        settings: As ``settings_of`` reads them from a URL.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect_primary`` does."""
        return await connect_primary(self._settings, name=name, timeout_s=timeout_s)


class NodeEndpoint:
    """A node of a cluster, which redirects commands for slots that it does not serve.

    Args:
        settings: As ``settings_of`` reads them from a URL.
        address: Its address, as the cluster announces it.
    """

    def __init__(self, settings: Mapping[str, Any], address: Address) -> None:
        self._settings = settings_at(settings, address)

    async def open(self, *, name: str, timeout_s: float) -> Connection:
        """Open a connection. Raises and cancels as ``connect`` does."""
        return await connect(self._settings, name=name, timeout_s=timeout_s)


def endpoint_of(url: RedisUrl) -> Endpoint:
    """The endpoint of a standalone or Sentinel-managed server."""
    return SentinelEndpoint(url) if url.topology == "sentinel" else FixedEndpoint(settings_of(url.plain))
