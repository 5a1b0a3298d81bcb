"""The vendor's demo server, in its shape: what a team starts from."""

import sys
from collections.abc import Sequence

from tests.benchmarks.load import Endpoint
from tests.benchmarks.target import Target
from tests.benchmarks.worker import Worker


class Demo(Target):
    """FastAPI on uvicorn, one process, JSON with base64; no Redis, so nothing survives it."""

    name = "demo"

    async def start(self) -> None:
        self._server = Worker("demo server", [sys.executable, "-m", "tests.benchmarks.peers.demo_server"])
        await self.stack.enter_async_context(self._server)
        ports = await self._server.answer("start")
        self._port = ports["viewers"]
        self.publisher = Worker("demo feeder", [sys.executable, "-m", "tests.benchmarks.peers.demo_feeder"])
        await self.stack.enter_async_context(self.publisher)
        await self.publisher.ask("connect", port=ports["feed"])
        self.pids = {"server": [self._server.pid], "publisher": [self.publisher.pid]}

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint(f"ws://127.0.0.1:{self._port}/ws/agent?conversation={number}", number)
            for number in range(self.conversations)
            for _ in range(self.viewers)
        ]
