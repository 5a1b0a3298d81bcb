"""The sender: requests go where they may, in bounded time, and of an answer only the header is read."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver
from tests.rigs.receiver import SECRET_KEY, Received, answers, receiving

from relay_jobs.webhooks.addresses import AllowedHosts
from relay_jobs.webhooks.endpoints import Endpoint, Rules
from relay_jobs.webhooks.retries import Result
from relay_jobs.webhooks.sender import CheckedResolver, ForbiddenAddress, Sender, open_sender
from relay_jobs.webhooks.signature import headers
from relay_runtime.http import listen

HOSTS = AllowedHosts(["127.0.0.1", "localhost", "hooks.example.com", "10.0.0.1", "::1", "::ffff:127.0.0.1"])
OPEN = Rules(HOSTS, http=True, private_networks=True)
CLOSED = Rules(HOSTS, http=True)


class Names(AbstractResolver):
    """Answers with one list of addresses after the other; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def send(sender: Sender, url: str, body: bytes = b"{}") -> Result:
    """One signed request."""
    endpoint = Endpoint("crm", "*", url, (SECRET_KEY,))
    signed = headers(endpoint.keys, "msg_1_crm", 1700000000, body)
    return await sender.send(endpoint, {**signed, "relay-attempt": "3"}, body)


@asynccontextmanager
async def raw_server(serve: Any) -> AsyncIterator[str]:
    """A server of any bytes; ``serve`` gets the reader and the writer. Its URL."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_signed_post() -> None:
    """The receiver has the body, the headers of the standard, and a type; the connection is used again."""
    ports = set()

    async def answer(request: web.Request, _received: Received) -> web.StreamResponse:
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(status=200, text="fine")

    async with receiving(answer) as receiver, open_sender(OPEN, connect_s=3, timeout_s=5) as sender:
        results = [await send(sender, f"{receiver.url}/hook?a=b", b'{"a": 1}') for _ in range(3)]

    assert results == [Result("delivered", 200)] * 3
    assert receiver.received[0].body == b'{"a": 1}'
    assert receiver.received[0].attempt == 3
    assert receiver.received[0].headers["content-type"] == "application/json"
    assert receiver.received[0].headers["user-agent"].startswith("avatar-relay/")
    assert len(ports) == 1
    assert receiver.forged == 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(204, "delivered"), (404, "refused"), (410, "gone"), (429, "refused"), (503, "failed")],
)
async def test_statuses(status: int, outcome: str) -> None:
    """Each has its outcome, with the wait that the receiver asks for."""
    async with (
        receiving(answers(status, headers={"Retry-After": "17"})) as receiver,
        open_sender(OPEN, connect_s=3, timeout_s=5) as sender,
    ):
        assert await send(sender, receiver.url) == Result(outcome, status, 17.0)


async def test_redirects_are_not_followed() -> None:
    """Not even to the receiver itself: the request ends at the first answer."""
    async with receiving() as target, open_sender(OPEN, connect_s=3, timeout_s=5) as sender:
        for status in (301, 302, 303, 307, 308):
            async with receiving(answers(status, headers={"Location": target.url})) as receiver:
                assert await send(sender, receiver.url) == Result("redirected", status)
                assert len(receiver.received) == 1
    assert target.received == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/", "http://[::1]:9/", "http://[::ffff:127.0.0.1]:9/", "http://10.0.0.1:9/",
        "http://localhost:9/", "http://evil.example/",
    ],
)  # fmt: skip
async def test_private_addresses(url: str) -> None:
    """Written as they are, or behind a name: nothing is sent there, nor to a host that is not named."""
    async with open_sender(CLOSED, connect_s=3, timeout_s=5) as sender:
        assert await send(sender, url) == Result("forbidden")


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["64:ff9b::7f00:1"]],
)
async def test_names_of_private_addresses(addresses: list[str]) -> None:
    """A name with one address that is not public is not connected to at all."""
    async with (
        receiving() as receiver,
        open_sender(CLOSED, connect_s=3, timeout_s=5, resolver=Names(addresses)) as sender,
    ):
        url = f"http://hooks.example.com:{receiver.url.rpartition(':')[2]}/"
        assert await send(sender, url) == Result("forbidden")
    assert receiver.received == []


async def test_a_name_that_changes_its_address() -> None:
    """One answer of the resolver serves the check and the connection; the next one is checked anew."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with receiving() as receiver:
        url = f"http://hooks.example.com:{receiver.url.rpartition(':')[2]}/"
        async with open_sender(OPEN, connect_s=3, timeout_s=5, resolver=names) as sender:
            assert await send(sender, url) == Result("delivered", 204)
            assert names.asked == 1

    checked = CheckedResolver(Names(["8.8.8.8"], ["127.0.0.1"]))
    assert [found["host"] for found in await checked.resolve("hooks.example.com", 443)] == ["8.8.8.8"]
    with pytest.raises(ForbiddenAddress):
        await checked.resolve("hooks.example.com", 443)


async def test_slow_answers_end() -> None:
    """One that does not come, one that comes byte by byte, and one whose header has no end."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    for serve, outcomes in ((silent, {"timed_out"}), (trickle, {"timed_out", "unreachable"})):
        async with raw_server(serve) as url, open_sender(OPEN, connect_s=3, timeout_s=0.3) as sender:
            assert (await send(sender, url)).outcome in outcomes


async def test_huge_answers_are_not_read() -> None:
    """The status counts as soon as it is there; a body without end, or a header of megabytes, is not read."""

    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async def header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with open_sender(OPEN, connect_s=3, timeout_s=5) as sender:
        async with raw_server(body) as url:
            assert await send(sender, url) == Result("delivered", 200)
        async with raw_server(header) as url:
            assert (await send(sender, url)).outcome == "unreachable"


async def test_what_is_no_http() -> None:
    """Any other bytes, a connection that closes, and a port where nobody listens are failures."""

    async def junk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    async def nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    async with open_sender(OPEN, connect_s=3, timeout_s=5) as sender:
        for serve in (junk, nothing):
            async with raw_server(serve) as url:
                assert (await send(sender, url)).outcome == "unreachable"
        assert (await send(sender, "http://127.0.0.1:1/")).outcome == "unreachable"


@pytest.fixture
def unknown_certificate() -> ssl.SSLContext:
    """A server's, by an authority that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


async def test_a_certificate_that_nobody_trusts(unknown_certificate: ssl.SSLContext) -> None:
    """Nothing is sent to a server that cannot prove its name."""
    async with (
        listen(web.Application(), "127.0.0.1", 0, tls=unknown_certificate) as url,
        open_sender(OPEN, connect_s=3, timeout_s=5) as sender,
    ):
        assert await send(sender, url.replace("127.0.0.1", "localhost")) == Result("untrusted")


async def test_a_bound_of_connections_in_time() -> None:
    """A server that accepts no connection costs the time for a connection, not that of the request."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        with socket.socket() as first, socket.socket() as second:
            for taker in (first, second):
                taker.setblocking(False)
                taker.connect_ex(full.getsockname())
            async with open_sender(OPEN, connect_s=0.2, timeout_s=30) as sender:
                loop = asyncio.get_running_loop()
                began = loop.time()
                assert (await send(sender, url)).outcome == "timed_out"
                assert loop.time() - began < 15
