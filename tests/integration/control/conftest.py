"""Control in this process, at a clean real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.rigs.control import ControlRig, open_control
from tests.rigs.proxy import Proxy
from tests.rigs.store import at_clean_store

from relay_client import Backend


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: control in this process, at a clean store."""
    return at_clean_store(open_store, open_control)


@pytest.fixture
def proxied():
    """``async with proxied(rig) as (backend, proxy)``: a backend that reaches control through a proxy."""

    @asynccontextmanager
    async def opened(rig: ControlRig, *, give_up_s: float = 10.0) -> AsyncIterator[tuple[Backend, Proxy]]:
        port = int(rig.url.rsplit(":", 1)[1])
        async with Proxy("127.0.0.1", port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            async with Backend(url, rig.key, give_up_s=give_up_s) as backend:
                yield backend, proxy

    return opened
