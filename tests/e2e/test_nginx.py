"""The relay behind a real nginx, with the configuration of the documentation."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from tests.chart.charts import one, render
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.nginx import Site, binary, nginx
from tests.rigs.redis_server import Server

from relay_client import Backend, Viewer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_nginx")]

MIB = 2**20
VIEWERS = 3
"""Viewers of one address."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server) -> AsyncIterator[Relay]:
    """One relay."""
    binary()
    settings = {
        "RELAY_TRUSTED_PROXIES": "1", "RELAY_MAX_TURN_BYTES": str(4 * MIB), "RELAY_HEARTBEAT_S": "1",
        "RELAY_MAX_ADDRESS_VIEWERS": str(VIEWERS), "RELAY_UPLINK_WAIT_S": "0.3",
        "RELAY_AVATARKIT_CLIENTS": "1", "SPATIUS_APP_ID": "app", "SPATIUS_AVATAR_ID": "ava",
    }  # fmt: skip
    async with open_relay(redis_server.url, gateways=1, workers=1, settings=settings) as opened:
        yield opened


@pytest.fixture
def before(r: Relay, tmp_path: Path):
    """``async with before(...) as proxy``: host and port of an nginx before the relay."""

    @asynccontextmanager
    async def opened(site: Callable[[Site, int], str] = Site.documented) -> AsyncIterator[str]:
        there = Site(urlsplit(r.stack.gateway_urls[0]).netloc, urlsplit(r.stack.control.url).netloc)
        async with nginx(tmp_path, partial(site, there)) as proxy:
            yield proxy

    return opened


async def socket_of(r: Relay, proxy: str, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """A viewer's socket through nginx, to a conversation of its own."""
    conversation = await r.converse(avatar_id="ava")
    return await http.ws_connect(
        f"ws://{proxy}/relay/v1/conversations/{conversation}/stream",
        headers=authorization((await r.backend.token(conversation)).token),
    )


async def upload_of(r: Relay, proxy: str, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """The same of a client that uploads the speech of its own turn."""
    conversation = await r.converse(avatar_id="ava")
    token = (await r.backend.token(conversation, role="speak")).token
    socket = await http.ws_connect(f"ws://{proxy}/relay/ws/host", headers=authorization(token))
    await socket.send_json({"action": "start"})
    return socket


async def speaker_of(r: Relay, proxy: str, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """The audio socket of a backend."""
    conversation = await r.converse(avatar_id="ava")
    url = f"ws://{proxy}/control/v1/conversations/{conversation}/audio"
    return await http.ws_connect(url, headers=authorization(r.stack.api_key))


def authorization(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def of_the_chart() -> Callable[[Site, int], str]:
    """The site that ingress-nginx would make of the chart's annotations."""
    objects = render(ci="ingress-nginx")
    gateway, control = (
        one(objects, "Ingress", f"relay-{name}")["metadata"]["annotations"] for name in ("gateway", "control")
    )
    return partial(Site.annotated, gateway=gateway, control=control)


SITES = [
    pytest.param(lambda: Site.documented, id="documented"),
    pytest.param(
        of_the_chart, id="chart", marks=pytest.mark.timeout(1200)
    ),  # helm may have to be built first
]


@pytest.mark.parametrize("site", SITES)
async def test_a_turn_under_a_prefix(r: Relay, before, site, speech, watching, eventually) -> None:
    """Backend and viewer use nginx alone; audio and motion arrive whole."""
    async with before(site()) as proxy, Backend(f"http://{proxy}/control", r.stack.api_key) as backend:
        avatar = f"behind-{proxy.rpartition(':')[2]}"  # its turns in the simulator are those of this test
        conversation = (await backend.create(avatar_id=avatar)).id
        token = (await backend.token(conversation)).token
        viewer = Viewer(f"ws://{proxy}/relay", conversation, token, session=r.http)
        seen = await r.seen(viewer)
        async with watching(seen):
            await backend.post_turn(conversation, speech)
            await eventually(lambda: seen.outcomes, within_s=20)
            await backend.end(conversation)

        seen.assert_whole()
        assert seen.audio() == speech
        assert [seen.motion()] == await r.expected_motion(speech, avatar)


@pytest.mark.parametrize("site", SITES)
async def test_bodies_beyond_nginx_s_own_limit(r: Relay, before, site) -> None:
    """A turn of 3 MiB is accepted; what is too large for control has control's problem, not nginx's page."""
    async with before(site()) as proxy:
        conversation = await r.converse(avatar_id="ava")
        url = f"http://{proxy}/control/v1/conversations/{conversation}/turns"
        headers = authorization(r.stack.api_key) | {"Content-Type": "audio/pcm"}
        for size, status, kind in (
            (3 * MIB, 202, "application/json"),
            (5 * MIB, 413, "application/problem+json"),
        ):
            async with r.http.post(url, headers=headers, data=io.BytesIO(bytes(size))) as answer:
                assert (answer.status, answer.content_type) == (status, kind)
        await r.backend.end(conversation)


async def test_addresses_of_viewers_are_forwarded(r: Relay, before) -> None:
    """Each address has a limit of its own although all connections come from nginx."""
    async with before() as proxy, AsyncExitStack() as stack:
        crowded, other = [
            await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            for connector in (aiohttp.TCPConnector(local_addr=(f"127.0.0.{n}", 0)) for n in (2, 3))
        ]
        for http in (*[crowded] * VIEWERS, other):
            stack.push_async_callback((await socket_of(r, proxy, http)).close)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await socket_of(r, proxy, crowded)

    assert refused.value.status == 429


@pytest.mark.parametrize("timeout_s", [2.0, 0.7])
@pytest.mark.parametrize("opened", [socket_of, upload_of, speaker_of])
async def test_an_idle_socket(r: Relay, before, opened, timeout_s: float) -> None:
    """For more than three of nginx's time-outs: pings within the time-out keep the socket, others do not.

    The times are those of production, divided by 30: 200 s of silence, 60 s at nginx, pings each 30 s.
    """
    site = partial(Site.documented, proxy_read_timeout=f"{timeout_s * 1000:.0f}ms")
    async with before(site) as proxy:
        socket = await opened(r, proxy, r.http)
        kept = timeout_s > 1
        with pytest.raises(TimeoutError) if kept else nullcontext():
            async with asyncio.timeout(200 / 30):
                while not socket.closed:
                    await socket.receive()
        assert socket.closed != kept
        assert kept or socket.close_code == 1006, "not by nginx"
        await socket.close()


async def test_nginx_without_its_lines_for_sockets(r: Relay, before) -> None:
    """The headers of the upgrade are missing: the refusal names them, and the proxy as the cause."""
    async with before(Site.plain) as proxy:
        url = f"http://{proxy}/relay/v1/conversations/x/stream"
        headers = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "x" * 22 + "==",
        }  # fmt: skip
        async with r.http.get(url, headers=headers) as answer:
            problem = await answer.json(content_type="application/problem+json")

    assert answer.status == 426
    assert "a proxy has removed headers" in problem["detail"]
