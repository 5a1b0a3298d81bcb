"""Links: what the relay says to Redis, and what it answers, wherever Redis is.

Commands submitted in one event-loop tick leave in one write, and replies come back in order, so
callers share a link without waiting for each other. A link comes back by itself. One server, a primary
behind sentinels and a cluster are told apart by the URL only.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from relay_redis.cluster import Cluster
from relay_redis.connection import CONNECTED, RECONNECT_WAIT, Endpoint, FixedEndpoint, settings_of
from relay_redis.errors import Unavailable
from relay_redis.node import Command, Node, Reply
from relay_redis.schema import Key, Schema
from relay_redis.script import Script
from relay_redis.sentinel import SentinelEndpoint
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import RedisUrl

__all__ = ["RECONNECT_WAIT", "Command", "RedisClient", "Reply", "endpoint_of"]


def endpoint_of(url: RedisUrl) -> Endpoint:
    """Where the one server is that is not a cluster."""
    return SentinelEndpoint(url) if url.topology == "sentinel" else FixedEndpoint(settings_of(url.plain))


class RedisClient:
    """Pipelining connections to one Redis, of any topology. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is, as ``RedisUrl.parse`` reads it.
        schema: The caller's scripts, and the types of its keys.
        name: What it is for, in logs and metrics.
        timeout_s: How long one command may take before its connection counts as dead.
        max_waiting: Most commands waiting for their reply or for the connection, on each server.
    """

    def __init__(
        self, url: str, schema: Schema, *, name: str, timeout_s: float = 2.0, max_waiting: int = 20_000
    ) -> None:
        self._timeout_s = timeout_s
        self.name = name
        CONNECTED.labels(name)
        self._ready = asyncio.Event()
        self._on_connect: list[Callable[[], None]] = []
        self._scope = TaskScope()
        parsed = RedisUrl.parse(url)
        self._servers: Node | Cluster
        if parsed.topology == "cluster":
            self._servers = Cluster(
                parsed,
                schema,
                name=name,
                timeout_s=timeout_s,
                max_waiting=max_waiting,
                on_change=self._changed,
            )
        else:
            self._servers = Node(
                endpoint_of(parsed),
                schema,
                name=name,
                timeout_s=timeout_s,
                max_waiting=max_waiting,
                on_change=self._changed,
            )

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._scope.spawn(self._servers.run(), name=f"redis-{self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)
        self._servers.close()

    @property
    def connected(self) -> bool:
        """Whether commands go out now; on a cluster, whether they do for every key."""
        return self._servers.connected

    @property
    def broken_by(self) -> str:
        """Why it is not connected, for people."""
        return self._servers.broken_by or "not yet"

    def one_per_server(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each server that has any."""
        return self._servers.one_each(keys)

    @property
    def connected_for_s(self) -> float:
        """For how many seconds ``connected`` has held; 0 when it does not."""
        if not self.connected:
            return 0.0
        return asyncio.get_running_loop().time() - self._servers.connected_at

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Call this each time a connection to any server stands and scripts are loaded.

        It runs on the event loop, before any reply of the new connection; it must not block or raise.
        """
        self._on_connect.append(callback)

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write and return its future reply.

        While the connection is down the command waits. When it breaks after the command went out, the
        future fails with ``Unavailable``: it may or may not have been applied. A command that cannot be
        written fails with ``Unencodable``, alone. Cancelling the future forgets the reply; the command may
        still be sent.

        Args:
            command: What to run.
            key: What decides which node of a cluster runs it; the command's second element when None.

        Raises:
            Unavailable: Too many commands wait already.
        """
        return self._servers.submit(command, key)

    async def execute(self, *command: str | bytes | int, key: Key | None = None) -> Reply:
        """Run one command; ``key`` as for ``submit``.

        Raises:
            Unavailable: No reply within the timeout, or Redis cannot take it now.
            Refused: It cannot succeed; as ``Unencodable`` it cannot even be sent.

        Cancelling is safe; the command may still be applied.
        """
        return await self._in_time(self.submit(command, key))

    async def run_script(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Reply:
        """Run a Lua script where its first key is. Raises and cancels as ``execute`` does."""
        return await self._in_time(self.submit_script(script, keys, *arguments))

    def submit_script(
        self, script: Script, keys: Sequence[str], *arguments: str | bytes | int
    ) -> asyncio.Future[Reply]:
        """Queue a Lua script, as ``submit`` does.

        Scripts are loaded at each connect. One that the server has lost since is sent as text, once; a WAIT
        behind it is sent again, too.
        """
        return self._servers.submit(("EVALSHA", script.sha, len(keys), *keys, *arguments), keys[0])

    async def ready(self) -> None:
        """Wait until ``connected`` holds."""
        await self._ready.wait()

    def drop(self, key: Key) -> bool:
        """Open the connection that serves a key again: for callers to whom it looks dead.

        Returns:
            Whether one stood; False when a new one is being opened already.
        """
        return self._servers.drop(key)

    async def _in_time(self, future: asyncio.Future[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            why = "" if self.connected else f": {self._servers.broken_by or 'not connected'}"
            raise Unavailable(f"no reply from Redis within {self._timeout_s} s{why}") from None

    def _changed(self, node: Node) -> None:
        CONNECTED.labels(self.name).set(self.connected)
        if self.connected:
            self._ready.set()
        else:
            self._ready.clear()
        if node.connected:
            for callback in self._on_connect:
                callback()
