"""Every limit, with real sockets: a client beyond it is refused and counted, and all others continue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.rigs.gateway import GatewayRig, assert_whole, collect, seqs
from tests.rigs.metrics import metric

from relay_gateway.admission import FORWARDED, LIMITED
from relay_runtime.connection import UNFINISHED
from relay_runtime.tasks import first_of
from relay_wire import events, frame
from relay_wire.close_codes import ABNORMAL, RATE_LIMITED, TOO_BIG

ALICE, BOB = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}


@asynccontextmanager
async def harmless(rig: GatewayRig, limit: str, times: int = 1) -> AsyncIterator[None]:
    """What happens in the block is counted under this limit, and a viewer beside it misses nothing."""
    async with rig.viewer() as bystander, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(collect(bystander, 8))
        counted = metric(LIMITED, limit=limit)
        yield
        assert metric(LIMITED, limit=limit) == counted + times
        await rig.turn(1)
        assert seqs(await watching) == list(range(1, 9))
        assert_whole(bystander)


def bearer(rig: GatewayRig, more: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {rig.token()}", **more}


async def refusal(rig: GatewayRig, **headers: str) -> tuple[int, str, str]:
    """A refusal as the client sees it: status, problem, Retry-After."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await rig.connect(headers=bearer(rig, headers))
    answer = refused.value.headers
    return refused.value.status, answer["Avatar-Relay-Problem"], answer["Retry-After"]


# --- how many ------------------------------------------------------------------------------------


async def test_a_gateway_is_full(open_rig, eventually) -> None:
    """503 until another leaves."""
    async with open_rig(max_viewers=2) as rig, harmless(rig, "gateway"):
        socket = await rig.connect()
        assert await refusal(rig) == (503, "gateway-full", "5")

        await socket.close()
        await eventually(lambda: not rig.service.hub or len(rig.service.hub) == 1)
        again = await rig.connect()
        await again.receive_bytes(timeout=5)
        await again.close()


async def test_an_address_has_its_share(open_rig) -> None:
    """429; other addresses continue."""
    async with open_rig(max_address_viewers=1, trusted_proxies=1) as rig, harmless(rig, "address"):
        alice = await rig.connect(headers=bearer(rig, ALICE))
        assert await refusal(rig, **ALICE) == (429, "too-many-connections", "5")
        bob = await rig.connect(headers=bearer(rig, BOB))
        await asyncio.gather(alice.close(), bob.close())


async def test_an_address_cannot_be_invented(open_rig) -> None:
    """Without a trusted proxy the header counts for nothing, and before our proxy's entry, neither."""
    async with open_rig(max_address_viewers=1) as rig, harmless(rig, "address"):
        assert (await refusal(rig, **BOB))[:2] == (429, "too-many-connections")
    async with open_rig(max_address_viewers=1, trusted_proxies=1) as rig, harmless(rig, "address"):
        alice = await rig.connect(headers=bearer(rig, ALICE))
        invented = {"X-Forwarded-For": "198.51.100.7, 203.0.113.1"}
        assert (await refusal(rig, **invented))[:2] == (429, "too-many-connections")
        await alice.close()


async def test_balancers_that_write_ports(open_rig) -> None:
    """Each client counts for itself, although its entry has a port."""
    async with open_rig(trusted_proxies=1, max_address_viewers=1) as rig, AsyncExitStack() as stack:
        for entry in ("203.0.113.7:51234", "203.0.113.8:51234", "[2001:db8::1]:443", "[2001:db9::1]:443"):
            headers = bearer(rig, {"X-Forwarded-For": f"invented, {entry}"})
            await stack.enter_async_context(await rig.connect(headers=headers))
        headers = bearer(rig, {"X-Forwarded-For": "203.0.113.7:9"})
        assert await rig.refused(headers=headers) == (429, "too-many-connections")


@pytest.mark.parametrize(
    ("proxies", "header", "forwarding", "warning"),
    [
        (0, "203.0.113.7", "ignored", "set RELAY_TRUSTED_PROXIES"),
        (1, None, "absent", "fewer entries"),
        (1, "unknown", "unreadable", "no address"),
        (0, None, "none", ""),
        (1, "203.0.113.7", "used", ""),
    ],
)
async def test_a_proxy_that_is_configured_wrongly_is_logged(
    open_rig, proxies: int, header: str | None, forwarding: str, warning: str
) -> None:
    """Counted each time, and logged once: all viewers share one limit then."""
    counted = metric(FORWARDED, forwarding=forwarding)
    async with open_rig(trusted_proxies=proxies) as rig:
        with capture_logs() as lines:
            for _ in range(3):
                await rig.refused(headers={"X-Forwarded-For": header} if header else {})
        refusal = [line["event"] for line in lines if "X-Forwarded-For" in line["event"]]
        assert len(refusal) == bool(warning)
        assert all(warning in event for event in refusal)
        assert metric(FORWARDED, forwarding=forwarding) == counted + 3


async def test_a_conversation_has_its_share(open_rig) -> None:
    """503: another gateway may have room."""
    async with open_rig(max_conversation_viewers=1) as rig, harmless(rig, "conversation"):
        assert await refusal(rig) == (503, "conversation-full", "5")


async def test_refusals_take_no_place(open_rig) -> None:
    """Whatever is refused, and whenever it leaves, gives back what it held."""
    async with open_rig(max_viewers=2, max_conversation_viewers=2) as rig, rig.viewer():
        for _ in range(5):
            assert await rig.refused(headers={"Authorization": "Bearer garbage"}) == (401, "unauthorized")
            assert await rig.refused("garbage") == (400, "bad-position")
            async with await rig.connect() as socket:
                await socket.receive_bytes(timeout=5)


# --- how often -----------------------------------------------------------------------------------


async def test_requests_per_address(open_rig) -> None:
    """429 when they come too fast, whatever they are; other addresses continue."""
    settings = {"requests_per_s": 0.01, "requests_burst": 3, "trusted_proxies": 1}
    async with open_rig(**settings) as rig, harmless(rig, "requests", 2):
        plain = rig.url.replace("ws", "http") + rig.path
        for _ in range(3):
            assert await rig.refused(headers={**ALICE, "Authorization": "Bearer guess"}) == (
                401,
                "unauthorized",
            )
        status, problem, retry_s = await refusal(rig, **ALICE)
        assert (status, problem) == (429, "rate-limited")
        assert 1 <= int(retry_s) <= 100
        async with rig.http.get(plain, headers=ALICE) as response:
            assert (response.status, response.content_type) == (429, "application/problem+json")
        async with rig.http.get(plain, headers=BOB) as response:
            assert response.status == 426


async def test_viewers_come_back_after_a_refusal(open_rig) -> None:
    """The client of the relay waits as advised, and gets in."""
    async with (
        open_rig(requests_per_s=50, requests_burst=1) as rig,
        rig.viewer() as first,
        rig.viewer() as second,
    ):
        await rig.turn(1)
        for viewer in (first, second):
            assert seqs(await collect(viewer, 8)) == list(range(1, 9))


# --- how slowly ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /v1/conversations/x/stream HTTP/1.1\r\nHost: x\r\n"])
async def test_a_request_that_never_ends(open_rig, sent: bytes) -> None:
    """Silence, or a header that trickles in byte by byte, holds a connection up to a limit."""
    async with open_rig(port={"header_s": 0.3}) as rig, harmless(rig, "requests", 0), asyncio.timeout(10):
        unfinished = metric(UNFINISHED)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        writer.write(sent)
        await first_of(cut=_cut(reader), trickle=_trickle(writer, b"x" if sent else b""))
        writer.close()
        assert metric(UNFINISHED) == unfinished + 1


async def _cut(reader: asyncio.StreamReader) -> None:
    """Wait until the connection is closed, without a word."""
    with suppress(ConnectionResetError):
        assert await reader.read() == b""


async def _trickle(writer: asyncio.StreamWriter, byte: bytes) -> None:
    while True:
        writer.write(byte)
        await asyncio.sleep(0.02)


async def test_a_request_in_time_is_not_cut(open_rig, eventually) -> None:
    """The limit ends with the header: sockets live on."""
    async with open_rig(port={"header_s": 0.2, "keepalive_s": 0.2}) as rig, await rig.connect() as socket:
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.6
        await eventually(lambda: loop.time() > until)
        await rig.turn(1)
        for _ in range(9):
            await socket.receive_bytes(timeout=5)


async def test_a_viewer_that_is_silent(open_rig, eventually) -> None:
    """Who answers no ping is gone."""
    async with open_rig(heartbeat_s=0.2) as rig, harmless(rig, "idle"):
        counted = metric(LIMITED, limit="idle")
        socket = await rig.connect(autoping=False)
        await eventually(lambda: metric(LIMITED, limit="idle") > counted)
        assert await closed_with(socket) == ABNORMAL.code


# --- how much ------------------------------------------------------------------------------------


async def test_the_size_of_a_message(open_rig) -> None:
    """1009."""
    async with (
        open_rig(gateway_max_message_bytes=1024) as rig,
        harmless(rig, "message_size"),
        await rig.connect() as socket,
    ):
        await socket.send_bytes(b"x" * 2000)
        assert await closed_with(socket) == TOO_BIG.code


@pytest.mark.parametrize(
    ("limit", "settings", "send"),
    [
        ("messages", {"messages_per_s": 1}, lambda socket: socket.send_str('{"type": "ping"}')),
        ("messages", {"messages_per_s": 1}, lambda socket: socket.ping(b"x")),
        ("messages", {"messages_per_s": 1}, lambda socket: socket.pong(b"x")),
        ("bytes", {"message_bytes_per_s": 1000}, lambda socket: socket.send_bytes(b"x" * 1000)),
    ],
    ids=["messages", "pings", "pongs", "bytes"],
)
async def test_the_rate_of_messages(open_rig, limit: str, settings: dict[str, Any], send: Any) -> None:
    """4201 after the burst, which is five seconds' worth."""
    async with (
        open_rig(**settings, bad_messages=100) as rig,
        harmless(rig, limit),
        await rig.connect() as socket,
    ):
        for _ in range(10):
            await send(socket)
        assert await closed_with(socket) == RATE_LIMITED.code


EMPTY_FRAGMENT, PING, EMPTY_PONG = b"\x00\x80key!", b"\x89\x80key!", b"\x8a\x80key!"
BEGIN_OF_A_MESSAGE = b"\x01\x80key!"


@pytest.mark.parametrize("frame", [EMPTY_FRAGMENT, PING, EMPTY_PONG])
@pytest.mark.parametrize("early", [False, True])
async def test_frames_that_are_no_messages(open_rig, frame: bytes, *, early: bool) -> None:
    """Fragments and control frames count as they come, also those that come with the upgrade request.

    No more of them is parsed than may come at once: the limit stands before the parser.
    """
    async with open_rig(messages_per_s=50, message_burst_s=2) as rig, harmless(rig, "messages"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        flood = BEGIN_OF_A_MESSAGE + frame * 40_000
        writer.write(upgrade_request(rig) + (flood if early else b""))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        if not early:
            writer.write(flood)
        received = b""
        async with asyncio.timeout(10):
            while b"\x10\x69too many messages" not in received:  # 4201 and its reason
                chunk = await reader.read(65536)
                assert chunk
                received += chunk
        assert received.count(b"\x8a\x00") <= 100  # answers to pings
        writer.close()


def upgrade_request(rig: GatewayRig) -> bytes:
    lines = [
        f"GET {rig.path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Authorization: Bearer {rig.token()}",
    ]  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode()


async def test_fragments_within_the_limit(open_rig) -> None:
    """A message in pieces is a message: slices of the server cut nothing."""
    async with open_rig() as rig, await rig.connect() as socket:
        pieces = [b'{"type":"ping",', b'"id":"', *[b"x"] * 50, b'"}']
        for index, piece in enumerate(pieces):
            first, last = index == 0, index == len(pieces) - 1
            head = bytes(((0x80 if last else 0) | (1 if first else 0), 0x80 | len(piece))) + bytes(4)
            socket._writer.transport.write(head + piece)
        async with asyncio.timeout(5):
            async for message in socket:
                event = events.decode(frame.decode(message.data).payload)
                if isinstance(event, events.Pong):
                    assert event.id == "x" * 50
                    break


async def test_a_voice_is_within_the_defaults(open_rig) -> None:
    """Microphone audio as fast as people speak, and somewhat faster, is no flood."""
    async with open_rig() as rig, await rig.connect() as socket:
        for number in range(500):
            await socket.send_json({"type": "ping", "id": str(number)})
        for _ in range(501):  # hello and pongs
            await socket.receive_bytes(timeout=5)
        assert not socket.closed


async def closed_with(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(10):
        async for _ in socket:
            pass
    return socket.close_code


# --- from where ----------------------------------------------------------------------------------


def page(rig: GatewayRig, **headers: str) -> dict[str, Any]:
    """What a page's socket brings: its token is a subprotocol."""
    return {"headers": headers, "protocols": ("avatar-relay.v1", f"avatar-relay.token.{rig.token()}")}


@pytest.mark.parametrize("origins", ["", "https://app.example"])
async def test_pages_of_other_origins(open_rig, origins: str) -> None:
    """A page of another origin cannot use a viewer's browser; the default lets no page in."""
    others = ("https://evil.example", "null", "https://app.example.evil.example", "file://")
    async with open_rig(origins=origins) as rig, harmless(rig, "origin", 2 * len(others)):
        for origin in others:
            assert await rig.refused(headers={"Origin": origin}) == (403, "forbidden")
            async with await rig.connect(**page(rig, Origin=origin)) as socket:
                assert await closed_with(socket) == 4403


@pytest.mark.parametrize("origins", ["https://app.example", "https://a.example, https://APP.example/", "*"])
async def test_pages_that_may(open_rig, origins: str) -> None:
    """Those listed, or any."""
    async with (
        open_rig(origins=origins) as rig,
        await rig.connect(**page(rig, Origin="https://app.example")) as socket,
    ):
        await socket.receive_bytes(timeout=5)


@pytest.mark.parametrize("origin", ["https://gateway.example", "http://gateway.example", "null"])
async def test_apps_with_a_token_in_a_header(open_rig, origin: str) -> None:
    """No page can send one, and apps cannot help the origins that their frameworks send."""
    async with open_rig() as rig, await rig.connect(headers=bearer(rig, {"Origin": origin})) as socket:
        await socket.receive_bytes(timeout=5)


@pytest.mark.parametrize(
    ("proxies", "headers", "allowed"),
    [
        (0, {"Host": "gateway.example", "Origin": "https://gateway.example"}, True),
        (0, {"Host": "gateway.example", "Origin": "https://evil.example"}, False),
        (1, {"X-Forwarded-Host": "gateway.example", "Origin": "https://gateway.example"}, True),
        (0, {"X-Forwarded-Host": "gateway.example", "Origin": "https://gateway.example"}, False),
    ],
)
async def test_pages_of_the_gateways_own_host(
    open_rig, proxies: int, headers: dict[str, str], *, allowed: bool
) -> None:
    """As the client, or a proxy that is trusted, calls it."""
    async with open_rig(trusted_proxies=proxies) as rig, await rig.connect(**page(rig, **headers)) as socket:
        if allowed:
            await socket.receive_bytes(timeout=5)
        else:
            assert await closed_with(socket) == 4403
