"""The demo server's vendor: sends it traffic over one local connection."""

import asyncio
from typing import Any

from tests.benchmarks.peers.demo_server import FEED_HEAD
from tests.benchmarks.traffic import Pacer
from tests.benchmarks.worker import serve


class Feeder:
    """One connection to the server."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter
        self.pacer = Pacer(self._send)

    async def connect(self, port: int) -> None:
        """Open it."""
        _, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def end(self) -> dict[str, Any]:
        """Stop, and report what was sent."""
        report = await self.pacer.stop()
        await self._writer.drain()
        return report

    def _send(self, conversation: int, payload: bytes) -> None:
        self._writer.write(FEED_HEAD.pack(conversation, len(payload)) + payload)


if __name__ == "__main__":
    feeder = Feeder()
    serve({"connect": feeder.connect, "begin": feeder.pacer.begin, "end": feeder.end})
