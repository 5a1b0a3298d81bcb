"""The floor as a target: what writing these bytes to these sockets costs, with nothing else around it."""

from collections.abc import Sequence

from tests.benchmarks.load import Endpoint
from tests.benchmarks.target import Target
from tests.benchmarks.worker import Worker


class Floor(Target):
    """The bare loop as a target."""

    name = "floor"

    def __init__(self, conversations: int, viewers: int = 1) -> None:
        super().__init__(conversations, viewers)
        self.publisher = Worker.module("bare_loop")
        self._port = 0

    async def start(self) -> None:
        await self.stack.enter_async_context(self.publisher)
        self._port = await self.publisher.ask("listen")
        self.pids["server"] = [self.publisher.pid]

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint(f"ws://127.0.0.1:{self._port}/{number}", number)
            for number in range(self.conversations)
            for _ in range(self.viewers)
        ]
