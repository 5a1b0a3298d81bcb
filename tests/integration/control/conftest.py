"""Control in this process, at a clean real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.control import ControlRig, open_control
from tests.rigs.proxy import Proxy

from relay_client import Backend


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``: control in this process, at a clean store."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[ControlRig]:
        async with open_store() as store, open_control(store, **settings) as opened:
            yield opened

    return made


@pytest.fixture
def proxied():
    """``async with proxied(b) as (backend, proxy)``: a backend that reaches control through a proxy."""

    @asynccontextmanager
    async def made(b: ControlRig, *, give_up_s: float = 10.0) -> AsyncIterator[tuple[Backend, Proxy]]:
        port = int(b.url.rsplit(":", 1)[1])
        async with Proxy("127.0.0.1", port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            async with Backend(url, b.key, give_up_s=give_up_s) as backend:
                yield backend, proxy

    return made
