"""The demo server's vendor: sends it traffic over one local connection."""

import asyncio
from typing import Any

import msgspec
from tests.bench.peers.demo_server import FEED_HEAD
from tests.bench.traffic import Pacer, Traffic
from tests.bench.worker import serve


class Feeder:
    """One connection to the server."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter
        self._pacer = Pacer(self._send)
        self._running: asyncio.Task[None] | None = None

    async def connect(self, port: int) -> None:
        """Open it."""
        _, self._writer = await asyncio.open_connection("127.0.0.1", port)

    def begin(self, traffic: Any) -> None:
        """Send this traffic."""
        self._pacer.reset()
        self._running = asyncio.create_task(self._pacer.run(msgspec.convert(traffic, Traffic)))

    async def end(self) -> dict[str, Any]:
        """Stop, and say what was sent."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._writer.drain()
        return self._pacer.report()

    def _send(self, conversation: int, payload: bytes) -> None:
        self._writer.write(FEED_HEAD.pack(conversation, len(payload)) + payload)


if __name__ == "__main__":
    feeder = Feeder()
    serve({"connect": feeder.connect, "begin": feeder.begin, "end": feeder.end})
