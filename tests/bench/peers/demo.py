"""The vendor's demo server, in its shape: what a team starts from."""

import sys
from collections.abc import Sequence
from typing import Any

from tests.bench.load import Seat
from tests.bench.target import Target
from tests.bench.traffic import Traffic
from tests.bench.worker import Worker


class Demo(Target):
    """FastAPI on uvicorn, one process, JSON with base64; no Redis, so nothing survives it."""

    name = "demo"

    async def start(self) -> None:
        self._server = Worker("demo server", [sys.executable, "-m", "tests.bench.peers.demo_server"])
        await self.stack.enter_async_context(self._server)
        ports = await self._server.answer("start")
        self._port = ports["viewers"]
        self._feeder = Worker("demo feeder", [sys.executable, "-m", "tests.bench.peers.demo_feeder"])
        await self.stack.enter_async_context(self._feeder)
        await self._feeder.ask("connect", port=ports["feed"])
        self.pids = {"server": [self._server.pid], "publisher": [self._feeder.pid]}

    def seats(self) -> Sequence[Seat]:
        return [
            Seat(f"ws://127.0.0.1:{self._port}/ws/agent?conversation={number}", number)
            for number in range(self.conversations)
            for _ in range(self.viewers)
        ]

    async def begin(self, traffic: Traffic) -> None:
        await self._feeder.ask("begin", traffic=traffic.as_json())

    async def end(self) -> dict[str, Any]:
        return await self._feeder.ask("end")
