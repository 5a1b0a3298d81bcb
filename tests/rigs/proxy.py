"""A TCP proxy with faults, to stand between a process and a server.

    async with Proxy("127.0.0.1", server.port) as proxy:
        client = RedisClient(proxy.url, SCHEMA, name="test")
        await proxy.set_mode("black hole")

Modes, changed at any time; each holds for connections that stand and for new ones:

- ``pass``: bytes go through. A connection that stood in a black hole continues with the bytes that come
  now; bytes discarded meanwhile are lost, so it is of no use: close it, as a client's timeout does.
- ``black hole``: connections are accepted, bytes of both ways are swallowed.
- ``unanswered``: bytes reach the server, its answers are swallowed.
- ``reset``: connections that stand are reset (RST), new ones as soon as they are accepted.
- ``refuse``: connections that stand are reset and the port is closed.
"""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Literal, Self, cast

Mode = Literal["pass", "black hole", "unanswered", "reset", "refuse"]

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """One listening port that forwards to one server. Enter it to open it; leaving closes it.

    Attributes:
        port: Where it listens, the same in every mode.
        target: Where it forwards new connections to; changed, it is a name that has moved.
        accepted: Connections accepted so far.
        swallowed: Bytes swallowed so far.
        unanswered_from: Bytes of a request with which, before it reaches the server, the mode becomes
            ``unanswered``. Empty: none does that.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self._mode: Mode = "pass"
        self._listener: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._openings: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self.swallowed = 0
        self.unanswered_from = b""

    @property
    def url(self) -> str:
        """The Redis URL of the server behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """Connections that stand."""
        return sum(end.accepted for end in self._ends)

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.set_mode("refuse")
        for opening in list(self._openings):
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)

    @property
    def mode(self) -> Mode:
        """What it does now."""
        return self._mode

    async def set_mode(self, mode: Mode) -> None:
        """Do this from now on; returns when it holds."""
        self._mode = mode
        if mode in ("reset", "refuse"):
            self.reset()
        if mode == "refuse" and self._listener is not None:
            self._listener.close()
            self._listener = None
        elif mode != "refuse" and self._listener is None:
            await self._listen()

    def reset(self) -> None:
        """Reset the connections that stand, once; the mode stays."""
        for end in list(self._ends):
            end.reset()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _End(self, accepted=True), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    # --- called by the ends --------------------------------------------------------------------

    def opened(self, end: "_End") -> None:
        self._ends.add(end)
        if not end.accepted:
            return
        self.accepted += 1
        if self._mode in ("reset", "refuse"):
            end.reset()
            return
        opening = asyncio.get_running_loop().create_task(self._open_other(end))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

    def passes(self, end: "_End", data: bytes) -> bool:
        """Whether these bytes go on to the other side."""
        if self._mode == "pass" and end.accepted and self.unanswered_from and self.unanswered_from in data:
            self._mode = "unanswered"
        return self._mode == "pass" or (self._mode == "unanswered" and end.accepted)

    def closed(self, end: "_End") -> None:
        self._ends.discard(end)

    async def _open_other(self, end: "_End") -> None:
        loop = asyncio.get_running_loop()
        try:
            _, other = await loop.create_connection(lambda: _End(self, accepted=False), *self.target)
        except OSError:
            end.reset()
            return
        end.join(other)


class _End(asyncio.Protocol):
    """One side of a connection through the proxy."""

    def __init__(self, proxy: Proxy, *, accepted: bool) -> None:
        self._proxy = proxy
        self._other: _End | None = None
        self._early = b""
        self._transport: asyncio.Transport | None = None
        self.accepted = accepted

    def join(self, other: "_End") -> None:
        """Connect the two sides of a connection."""
        self._other, other._other = other, self
        if self._transport is None:
            other.close()
        elif self._early:
            other.write(self._early)
            self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self._proxy.opened(self)

    def data_received(self, data: bytes) -> None:
        if not self._proxy.passes(self, data):
            self._proxy.swallowed += len(data)
        elif self._other is None:
            self._early += data
        else:
            self._other.write(data)

    def eof_received(self) -> bool:
        return self._proxy.mode == "black hole"  # the other side never learns of it

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._transport = None
        self._proxy.closed(self)
        if self._other is not None:
            self._other.close()

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with RST."""
        if self._transport is not None:
            plain = self._transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            self._transport.abort()
