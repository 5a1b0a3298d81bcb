"""Raw: a WebSocket byte by byte, for what no well-behaved client sends."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.rigs.gateway import GatewayRig

from relay_gateway.handshake import SUBPROTOCOL, TOKEN_PREFIX

TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
"""First bytes of messages in one frame."""
_MASK = bytes(4)
HEADERS = {
    "Host": "relay",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Answer(NamedTuple):
    """The head of a response."""

    status: int
    headers: dict[str, str]


def client_frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """A frame as clients send it, of less than 64 KiB."""
    bit = 0x80 if masked else 0
    size = len(payload)
    head = bytes((first, bit | size)) if size < 126 else struct.pack("!BBH", first, bit | 126, size)
    return head + (_MASK if masked else b"") + payload


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(
        self, path: str, headers: Mapping[str, str | None], request: str = "GET {path} HTTP/1.1"
    ) -> Answer:
        """Send a request with these headers instead of the usual ones, None for none."""
        lines = [f"{name}: {value}" for name, value in {**HEADERS, **headers}.items() if value is not None]
        head = "\r\n".join([request.format(path=path), *lines, "", ""])
        self.writer.write(head.encode("latin-1"))
        async with asyncio.timeout(5):
            status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields if field)
        return Answer(int(status.split(" ")[1]), {name.lower(): value for name, value in pairs})

    async def close_code(self) -> int:
        """Read messages until the close; its code, 0 when it has none."""
        async for first, payload in self.messages():
            if first == CLOSE:
                return int.from_bytes(payload[:2])
        raise AssertionError("there was no close")

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """First byte and payload of each message until the end of the connection, the close's too."""
        async with asyncio.timeout(5):
            while head := await self._reader.read(1):
                size = (await self._reader.readexactly(1))[0]
                if size in {126, 127}:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
                yield head[0], await self._reader.readexactly(size)


@asynccontextmanager
async def line(b: GatewayRig) -> AsyncIterator[Line]:
    """A connection to the first gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(b.url.rpartition(":")[2]))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def browser(b: GatewayRig) -> AsyncIterator[Line]:
    """An open socket of a viewer that has its token as a subprotocol."""
    async with line(b) as opened:
        protocols = f"{SUBPROTOCOL}, {TOKEN_PREFIX}{b.token()}"
        assert (await opened.ask(b.path, {"Sec-WebSocket-Protocol": protocols})).status == 101
        yield opened
