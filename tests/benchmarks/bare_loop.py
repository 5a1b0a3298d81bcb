"""The bare loop: the floor's process, a uvloop server that only writes.

After the upgrade it reads nothing and knows nothing: it writes the same prepared WebSocket messages at
the relay's rate. No server on this event loop that sends one message per frame can be much cheaper.
"""

import asyncio
import base64
import hashlib
import re

from tests.benchmarks.traffic import Pacer
from tests.benchmarks.worker import serve

from relay_gateway.websocket import message_head
from relay_wire.frame import HEADER_BYTES

TICK_S = 0.004
"""The coarsest that would still hold the relay's goal of 2 ms in the median. A wake-up costs as much as
ten writes on a machine that idles, so a finer tick would raise the floor and flatter the relay."""
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 1.3."""
_PATH = re.compile(rb"GET /(\d+) ")
_KEY = re.compile(rb"sec-websocket-key: *(\S+)", re.IGNORECASE)


class BareLoop:
    """All sockets, by conversation."""

    def __init__(self) -> None:
        self._sockets: dict[int, list[asyncio.WriteTransport]] = {}
        self._messages: dict[int, bytes] = {}
        self.pacer = Pacer(self._write, stamped=False, tick_s=TICK_S)
        self._server: asyncio.Server

    async def listen(self) -> int:
        """Accept viewers on a free port; returns it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Upgrade(self), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def attend(self, conversation: int, transport: asyncio.WriteTransport) -> None:
        """Write this conversation to this socket, too."""
        self._sockets.setdefault(conversation, []).append(transport)

    def leave(self, transport: asyncio.WriteTransport) -> None:
        """Write to this socket no more."""
        for sockets in self._sockets.values():
            if transport in sockets:
                sockets.remove(transport)

    def _write(self, conversation: int, payload: bytes) -> None:
        message = self._messages.get(len(payload)) or self._message(payload)
        for transport in self._sockets.get(conversation, ()):
            transport.write(message)

    def _message(self, payload: bytes) -> bytes:
        size_bytes = HEADER_BYTES + len(payload)
        return self._messages.setdefault(
            len(payload), message_head(size_bytes) + bytes(HEADER_BYTES) + payload
        )


class _Upgrade(asyncio.Protocol):
    """Answers one upgrade request; what comes after it is ignored."""

    def __init__(self, loop: BareLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._request = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            return
        self._request += data
        path, key = _PATH.search(self._request), _KEY.search(self._request)
        if path and key and self._request.endswith(b"\r\n\r\n"):
            self._upgraded = True
            accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT).digest())  # noqa: S324  # RFC 6455's
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n\x82\x00"
            )
            self._loop.attend(int(path[1]), self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._loop.leave(self._transport)


if __name__ == "__main__":
    bare = BareLoop()
    serve({"listen": bare.listen, "begin": bare.pacer.begin, "end": bare.pacer.stop})
