"""Gateways in this process, at a clean real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.gateway import GatewayRig, open_gateways
from tests.rigs.proxy import Proxy
from tests.rigs.store import at_clean_store


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig(...) as rig``: see ``open_gateways``."""
    return at_clean_store(open_store, open_gateways)


@pytest.fixture
def proxied(open_store, redis_server):
    """``async with proxied(...) as (rig, proxy)``: only the gateways reach Redis through the proxy."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[tuple[GatewayRig, Proxy]]:
        async with (
            open_store() as store,
            Proxy("127.0.0.1", redis_server.port) as proxy,
            open_gateways(store, redis_url=proxy.url, redis_timeout_s=0.2, **options) as rig,
        ):
            yield rig, proxy

    return opened
