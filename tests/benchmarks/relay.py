"""The relay as a target: real gateways on a real Redis, fed by the publisher."""

import secrets
import tempfile
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import aiohttp
import jwt
from tests.benchmarks.load import Endpoint
from tests.benchmarks.small_cluster import small_cluster
from tests.benchmarks.target import Target
from tests.benchmarks.worker import Worker

from relay_cli.stack import Child
from relay_redis.local_server import LocalServer

_TOKEN_TTL_S = 3600
_NO_LIMITS = {
    "RELAY_MAX_ADDRESS_VIEWERS": "100000",
    "RELAY_REQUESTS_PER_S": "100000",
    "RELAY_REQUESTS_BURST": "100000",
}
"""All viewers come from one address here."""


class NoRoute(Exception):
    """Raised when the gateways have no such endpoint; the text names the setting."""


class Relay(Target):
    """Gateways and their Redis.

    Args:
        conversations: How many.
        viewers: Of each.
        gateways: How many.
        redis_nodes: How many; more than one make a cluster.
        settings: Variables for the gateways.
        trace_ratio: Share of the turns whose frames carry a trace context.
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
        trace_ratio: float = 0.0,
    ) -> None:
        super().__init__(conversations, viewers)
        self._trace_ratio = trace_ratio
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
        await self.publisher.ask("own", redis_url=redis_url, ids=self.ids, trace_ratio=self._trace_ratio)
        self.pids["server"] = [gateway.pid for gateway in self.gateways]
        self.pids["publisher"] = [self.publisher.pid]

    def start_redis(self) -> str:
        """Start Redis and return its URL."""
        if self._redis_nodes > 1:
            url, nodes = self.stack.enter_context(small_cluster(self._redis_nodes))
            self.pids["redis"] = [node.pid for node in nodes]
            return url
        server = self.stack.enter_context(LocalServer())
        assert server.process is not None
        self.pids["redis"] = [server.process.pid]
        return server.url

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            self.endpoint(number, viewer)
            for number in range(self.conversations)
            for viewer in range(self.viewers)
        ]

    def endpoint(self, number: int, viewer: int = 0, start: str = "live") -> Endpoint:
        """One viewer of one conversation."""
        gateway = self.gateways[(number + viewer) % len(self.gateways)]
        conversation = self.ids[number]
        return Endpoint(
            f"{gateway.url}/v1/conversations/{conversation}/stream?from={start}",
            number,
            {"Authorization": f"Bearer {self._token(conversation)}"},
        )

    def _token(self, conversation: str) -> str:
        """A token as the protocol has it, made here so that other versions of the relay can be measured."""
        now = int(time.time())
        claims = {"aud": "avatar-relay", "iat": now, "exp": now + _TOKEN_TTL_S, "cid": conversation}
        return jwt.encode({**claims, "role": "listen"}, self._key, algorithm="HS256")

    async def _start_gateway(self, name: str, redis_url: str, logs: Path) -> Child:
        settings = {
            "RELAY_REDIS_URL": redis_url,
            "RELAY_TOKEN_SECRET": self._key,
            "RELAY_GATEWAY_PORT": "0",
            "RELAY_LOG_LEVEL": "warning",
            "RELAY_DRAIN_S": "0",
            "RELAY_DRAIN_ACCEPT_S": "0",
            **_NO_LIMITS,
            **self._settings,
        }
        gateway = Child(name, "gateway", settings, logs)
        self.stack.push_async_callback(gateway.stop)
        await gateway.start()
        return gateway


class AvatarKitRelay(Relay):
    """The same relay, as the vendor's clients see it: JSON texts with base64 at ``/ws/agent``."""

    name = "relay-avatarkit"

    def __init__(self, conversations: int, viewers: int = 1) -> None:
        settings = {
            "RELAY_AVATARKIT_CLIENTS": "true",
            "SPATIUS_APP_ID": "bench",
            "SPATIUS_AVATAR_ID": "avatar",
        }
        super().__init__(conversations, viewers, settings=settings)

    async def connect(self, endpoints: Sequence[Endpoint] | None = None) -> None:
        """As every target; raises ``NoRoute`` when these gateways do not speak to the vendor's clients."""
        async with aiohttp.ClientSession() as http, http.get(self._gateway_url(0)) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                raise NoRoute("this gateway has no /ws/agent: 'avatarkit' is not available here")
        await super().connect(endpoints)

    def endpoint(self, number: int, viewer: int = 0, start: str = "live") -> Endpoint:
        """A client there; it always begins with the turn at hand."""
        native = super().endpoint(number, viewer, start)
        return Endpoint(
            self._gateway_url(number + viewer).replace("http", "ws", 1), number, native.headers, ready=b"{"
        )

    def _gateway_url(self, number: int) -> str:
        return self.gateways[number % len(self.gateways)].url.replace("ws", "http", 1) + "/ws/agent"
