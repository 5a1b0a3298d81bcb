"""Open files run out, with a real gateway: clients are refused in time, and nobody else notices."""

import asyncio
import resource
from collections.abc import Callable

import aiohttp
import pytest
from tests.security.processes import Service

from relay_cli import stack
from relay_runtime.parent import end_with_parent

FEW = 64
LIMITS = {
    "RELAY_AVATARKIT_CLIENTS": "true", "RELAY_AVATARKIT_GUESTS": "true",
    "SPATIUS_APP_ID": "app", "RELAY_HEADER_S": "300",
}  # fmt: skip


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """``allow(soft, hard)``: open files of processes that are started from now on."""

    def set_limit(soft: int, hard: int) -> None:
        def prepare() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            end_with_parent()

        monkeypatch.setattr(stack, "end_with_parent", prepare)

    return set_limit


async def assert_alive(child: Service) -> None:
    """A probe finds an open file each time, on a connection of its own."""
    for _ in range(5):
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{child.admin}/livez", timeout=aiohttp.ClientTimeout(5)) as response,
        ):
            assert response.status == 200


async def test_the_limit_is_raised(service, allow) -> None:
    """As far as the process may, and it is logged: runtimes give few, and leave the rest to be asked for."""
    allow(FEW, 4096)
    async with service("gateway") as child:
        assert await child.metric("process_max_fds") == 4096
        assert "limit of open files raised" in await child.log()


async def test_idle_connections_take_no_probe_s_place(service, allow, eventually) -> None:
    """More connections than there are files: those beyond are closed and counted, Redis is reached again."""
    allow(FEW, FEW)
    async with service("gateway", **LIMITS) as child:
        idle = [await asyncio.open_connection("127.0.0.1", child.port) for _ in range(2 * FEW)]
        await eventually(lambda: child.metric("relay_http_connections_refused_total"), 10)
        await assert_alive(child)
        assert (await child.log()).count("connections are refused") == 1
        assert await child.metric("process_open_fds") < FEW
        for _, writer in idle:
            writer.close()
        await eventually(lambda: child.metric("relay_http_connections"), 10, until=lambda found: not found)
        assert (await child.exchange(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 ")


async def test_viewers_get_503_when_it_is_full(service, allow) -> None:
    """503, before connections are refused."""
    allow(FEW, FEW)
    async with service("gateway", **LIMITS) as child, aiohttp.ClientSession() as http:
        url = child.url.replace("http", "ws") + "/ws/host"
        sockets = []
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            for _ in range(FEW):
                sockets.append(await http.ws_connect(url))  # noqa: PERF401  # the refusal ends it
        assert refused.value.status == 503
        assert refused.value.headers["Avatar-Relay-Problem"] == "gateway-full"
        assert len(sockets) > FEW // 4
        await assert_alive(child)
        for socket in sockets:
            await socket.close()
