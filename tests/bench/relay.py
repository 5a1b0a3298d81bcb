"""The relay as a target: real gateways on a real Redis, fed by the publisher."""

import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.load import Seat
from tests.bench.small_cluster import small_cluster
from tests.bench.target import Target
from tests.bench.traffic import Traffic
from tests.bench.worker import Worker

from relay_auth.viewer_tokens import Role, mint
from relay_cli.stack import Child
from relay_streams.server import Server

_TOKEN_TTL_S = 3600
_NO_LIMITS = {
    "RELAY_MAX_ADDRESS_VIEWERS": "100000",
    "RELAY_REQUESTS_PER_S": "100000",
    "RELAY_REQUESTS_BURST": "100000",
}
"""All viewers come from one address here."""


class Relay(Target):
    """Gateways and their Redis.

    Args:
        conversations: How many.
        viewers: Of each.
        gateways: How many.
        redis_nodes: How many; more than one make a cluster.
        settings: Variables for the gateways.
    """

    name = "relay"

    def __init__(
        self,
        conversations: int,
        viewers: int = 1,
        *,
        gateways: int = 1,
        redis_nodes: int = 1,
        settings: dict[str, str] | None = None,
    ) -> None:
        super().__init__(conversations, viewers)
        self.publisher = Worker.module("publisher")
        self.gateways: list[Child] = []
        self._count = gateways
        self._redis_nodes = redis_nodes
        self._settings = settings or {}
        self._key = secrets.token_urlsafe(32)
        self.ids = [f"bench-{number:05}" for number in range(conversations)]

    async def start(self) -> None:
        logs = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="avatar-relay-bench-")))
        redis_url = self.start_redis()
        for number in range(self._count):
            self.gateways.append(await self._start_gateway(f"gateway-{number}", redis_url, logs))
        await self.stack.enter_async_context(self.publisher)
        await self.publisher.ask("own", redis_url=redis_url, ids=self.ids)
        self.pids["server"] = [gateway.pid for gateway in self.gateways]
        self.pids["publisher"] = [self.publisher.pid]

    def start_redis(self) -> str:
        """Start Redis and return its URL."""
        if self._redis_nodes > 1:
            url, nodes = self.stack.enter_context(small_cluster(self._redis_nodes))
            self.pids["redis"] = [node.pid for node in nodes]
            return url
        server = self.stack.enter_context(Server())
        assert server.process is not None
        self.pids["redis"] = [server.process.pid]
        return server.url

    def seats(self) -> Sequence[Seat]:
        return [
            self.seat(number, viewer)
            for number in range(self.conversations)
            for viewer in range(self.viewers)
        ]

    def seat(self, number: int, viewer: int = 0, start: str = "live") -> Seat:
        """One viewer of one conversation."""
        gateway = self.gateways[(number + viewer) % len(self.gateways)]
        conversation = self.ids[number]
        return Seat(
            f"{gateway.url}/v1/conversations/{conversation}/stream?from={start}",
            number,
            {"Authorization": f"Bearer {self._token(conversation)}"},
        )

    async def begin(self, traffic: Traffic) -> None:
        await self.publisher.ask("begin", traffic=traffic.as_json())

    async def end(self) -> dict[str, Any]:
        return await self.publisher.ask("end")

    def _token(self, conversation: str) -> str:
        return mint(self._key, conversation=conversation, role=Role.LISTEN, ttl_s=_TOKEN_TTL_S)[0]

    async def _start_gateway(self, name: str, redis_url: str, logs: Path) -> Child:
        settings = {
            "RELAY_REDIS_URL": redis_url,
            "RELAY_TOKEN_SECRET": self._key,
            "RELAY_GATEWAY_PORT": "0",
            "RELAY_LOG_LEVEL": "warning",
            "RELAY_DRAIN_S": "0",
            **_NO_LIMITS,
            **self._settings,
        }
        gateway = Child(name, "gateway", settings, logs)
        self.stack.push_async_callback(gateway.stop)
        await gateway.start()
        return gateway
