"""The Redis client: commands to one server, a primary behind sentinels or a cluster, chosen by the URL.

Commands submitted in one event-loop tick leave in one write, and replies come back in order, so callers
share a connection without waiting for each other. It reconnects by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from relay_redis.cluster import Cluster
from relay_redis.endpoint import endpoint_of
from relay_redis.errors import Unavailable
from relay_redis.metrics import CONNECTED
from relay_redis.node import Command, Node, Reply
from relay_redis.schema import Key, Schema
from relay_redis.script import Script
from relay_runtime.lifetime import Lifetime
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import RedisUrl

__all__ = ["Command", "RedisClient", "Reply"]


class RedisClient(Lifetime):
    """Pipelining connections to one Redis, of any topology. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is, as ``RedisUrl.parse`` reads it.
        schema: The caller's scripts, and the types of its keys.
        name: Its purpose, in logs and metrics.
        timeout_s: How long one command may take before its connection counts as dead.
        max_waiting: Most commands waiting for their reply or for the connection, on each server.
    """

    def __init__(
        self, url: str, schema: Schema, *, name: str, timeout_s: float = 2.0, max_waiting: int = 20_000
    ) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self.name = name
        CONNECTED.labels(name)
        self._ready = asyncio.Event()
        self._on_connect: list[Callable[[], None]] = []
        parsed = RedisUrl.parse(url)
        self._nodes: Node | Cluster
        if parsed.topology == "cluster":
            self._nodes = Cluster(
                parsed,
                schema,
                name=name,
                timeout_s=timeout_s,
                max_waiting=max_waiting,
                on_change=self._on_node_change,
            )
        else:
            self._nodes = Node(
                endpoint_of(parsed),
                schema,
                name=name,
                timeout_s=timeout_s,
                max_waiting=max_waiting,
                on_change=self._on_node_change,
            )

    async def _open(self, stack: AsyncExitStack) -> None:
        stack.callback(self._nodes.close)
        scope = await stack.enter_async_context(TaskScope())
        scope.spawn(self._nodes.run(), name=f"redis-{self.name}")

    @property
    def connected(self) -> bool:
        """Whether commands are sent now; on a cluster, for every key."""
        return self._nodes.connected

    @property
    def disconnect_reason(self) -> str:
        """Why it is not connected, for people."""
        return self._nodes.disconnect_reason or "not connected yet"

    def one_per_server(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each server that has any."""
        return self._nodes.one_per_server(keys)

    @property
    def connected_for_s(self) -> float:
        """For how many seconds ``connected`` has held; 0 when it does not."""
        if not self.connected:
            return 0.0
        return asyncio.get_running_loop().time() - self._nodes.connected_at

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Register a callback for each time that a connection to any server is open and scripts are loaded.

        It runs on the event loop, before any reply of the new connection; it must not block or raise.
        """
        self._on_connect.append(callback)

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write and return its future reply.

        While the connection is down the command waits. When it breaks after the command was sent, the
        future fails with ``Unavailable``: it may or may not have been applied. A command that cannot be
        written fails with ``Unencodable``, alone. Cancelling the future discards the reply; the command
        may still be sent.

        Args:
            command: What to run.
            key: Decides which node of a cluster runs it; the command's second element when None.

        Raises:
            Unavailable: Too many commands wait already.
        """
        return self._nodes.submit(command, key)

    async def execute(self, *command: str | bytes | int, key: Key | None = None) -> Reply:
        """Run one command; ``key`` as for ``submit``.

        Raises:
            Unavailable: No reply within the timeout, or Redis cannot run it now.
            Refused: The command cannot succeed; ``Unencodable`` when it cannot be sent.

        Cancelling is safe; the command may still be applied.
        """
        return await self._in_time(self.submit(command, key))

    async def run_script(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Reply:
        """Run a Lua script at the node of its first key. Raises and cancels as ``execute`` does."""
        return await self._in_time(self.submit_script(script, keys, *arguments))

    def submit_script(
        self, script: Script, keys: Sequence[str], *arguments: str | bytes | int
    ) -> asyncio.Future[Reply]:
        """Queue a Lua script, as ``submit`` does.

        Scripts are loaded at each connect. One that the server no longer has is sent as text, once, and a
        WAIT behind it is sent again.
        """
        return self._nodes.submit(("EVALSHA", script.sha, len(keys), *keys, *arguments), keys[0])

    async def ready(self) -> None:
        """Wait until ``connected`` holds."""
        await self._ready.wait()

    def reconnect(self, key: Key) -> bool:
        """Close the connection that serves a key, and open another, when commands get no replies.

        Returns:
            Whether there was one; False when one is being opened already.
        """
        return self._nodes.reconnect(key)

    async def _in_time(self, future: asyncio.Future[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            why = "" if self.connected else f": {self.disconnect_reason}"
            raise Unavailable(f"no reply from Redis within {self._timeout_s} s{why}") from None

    def _on_node_change(self, node: Node) -> None:
        CONNECTED.labels(self.name).set(self.connected)
        if self.connected:
            self._ready.set()
        else:
            self._ready.clear()
        if node.connected:
            for callback in self._on_connect:
                callback()
