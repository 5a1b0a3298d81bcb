"""Gateways in this process, at a clean real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.gateway import GatewayRig, open_gateways
from tests.rigs.proxy import Proxy


@pytest.fixture
def bench(open_store):
    """``async with bench(...) as b``: see ``open_gateways``."""

    @asynccontextmanager
    async def made(**options: Any) -> AsyncIterator[GatewayRig]:
        async with open_store() as store, open_gateways(store, **options) as opened:
            yield opened

    return made


@pytest.fixture
def proxied(open_store, redis_server):
    """``async with proxied(...) as (b, proxy)``: only the gateways' way to Redis leads through the proxy."""

    @asynccontextmanager
    async def made(**options: Any) -> AsyncIterator[tuple[GatewayRig, Proxy]]:
        async with (
            open_store() as store,
            Proxy("127.0.0.1", redis_server.port) as proxy,
            open_gateways(store, redis_url=proxy.url, redis_timeout_s=0.2, **options) as opened,
        ):
            yield opened, proxy

    return made
