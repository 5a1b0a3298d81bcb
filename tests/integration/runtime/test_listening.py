"""Where processes listen, and the URLs that they report: both families, brackets, usable addresses."""

import asyncio
import json
import os
import socket
import sys
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from tests.rigs.need import need

from relay_runtime.http import listen
from relay_settings.base import SettingsError
from relay_settings.host import in_url
from relay_settings.process import ProcessSettings


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        need(None, "IPv6 on loopback")


def application() -> web.Application:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    return app


async def reaches(url: str) -> bool:
    async with aiohttp.ClientSession() as http:
        try:
            async with http.get(url) as response:
                return await response.text() == "hello"
        except aiohttp.ClientConnectionError:
            return False


@pytest.mark.parametrize(
    ("host", "begins", "ipv4", "ipv6"),
    [
        ("::", "http://[::1]:", True, True),
        ("0:0:0:0:0:0:0:0", "http://[::1]:", True, True),
        ("0.0.0.0", "http://127.0.0.1:", True, False),  # the subject
        ("::1", "http://[::1]:", False, True),
        ("127.0.0.1", "http://127.0.0.1:", True, False),
        ("localhost", "http://localhost:", True, None),
    ],
)
async def test_listening(host: str, begins: str, ipv4: bool, ipv6: bool | None) -> None:  # noqa: FBT001
    """A URL that can be used as it is; :: is open to both families."""
    async with listen(application(), host, 0) as url:
        port = urlsplit(url).port
        assert url.startswith(begins)
        assert await reaches(url)
        assert await reaches(f"http://127.0.0.1:{port}") is ipv4
        if ipv6 is not None:
            assert await reaches(f"http://[::1]:{port}") is ipv6


@pytest.mark.parametrize("host", ["::", "::1"])
async def test_a_port_that_is_taken(host: str) -> None:
    """Is an error of the same kind for each family."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        async with listen(application(), host, taken.getsockname()[1]):
            pytest.fail("it listens")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[::1]", "::1"), ("::", "::"), ("[::]", "::"), ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("relay-gateway.example", "relay-gateway.example"), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_hosts(text: str, host: str) -> None:
    """Brackets are for URLs; both ways of writing mean the same."""
    assert ProcessSettings.load(admin_host=text).admin_host == host


@pytest.mark.parametrize(
    "text", ["10.0.0.1:80", "[::1]:80", "http://host", "host name", "[host]", "*", "[::1"]
)
def test_what_is_no_host(text: str) -> None:
    """Above all one with a port: the setting for that is named beside it."""
    with pytest.raises(SettingsError, match="RELAY_ADMIN_HOST is refused: it must be an address or a name"):
        ProcessSettings.load(admin_host=text)


def test_hosts_in_urls() -> None:
    """As RFC 3986 and RFC 6874 have them."""
    hosts = ["fe80::1%eth0", "::", "0.0.0.0", "name"]  # the subject
    assert list(map(in_url, hosts)) == ["[fe80::1%25eth0]", "[::1]", "127.0.0.1", "name"]


class TestProcesses:
    """Real processes: starting one blocks."""

    @pytest.fixture(autouse=True)
    def _guards(self) -> None:
        """A process is a tool, and may block."""

    async def test_a_gateway_on_both_families(self, redis_server) -> None:
        """Its ready line can be read by a program, and its probes answer on either family."""
        settings = {
            "RELAY_TOKEN_SECRET": "planted-secret-" + "k" * 32, "RELAY_REDIS_URL": redis_server.url,
            "RELAY_GATEWAY_HOST": "::", "RELAY_GATEWAY_PORT": "0", "RELAY_ADMIN_HOST": "[::1]",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay_gateway", env={**os.environ, **settings},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                ready = json.loads(await process.stdout.readline())
            url = urlsplit(ready["url"])
            assert (url.scheme, url.hostname) == ("ws", "::1")
            async with aiohttp.ClientSession() as http:
                for host in ("127.0.0.1", "[::1]"):
                    async with http.get(f"http://{host}:{url.port}/v1/conversations/x/stream") as response:
                        assert response.status in (401, 426)
                async with http.get(f"{ready['admin']}/livez") as response:
                    assert response.status == 200
        finally:
            process.terminate()
            await process.communicate()
