"""Hints: which streams moved, over sharded pub/sub. A lost hint costs time, never data."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_runtime.tasks import TaskScope, first_of
from relay_streams.link import CONNECTED, RECONNECT_WAIT, RECONNECTS, connect

log = structlog.get_logger(__name__)


class Hints:
    """A subscription to the hint channels of streams. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is.
        on_hint: Called with a stream's name when it moved, and after every (re)subscription, because
            it may have moved unheard. Called on the event loop; must not block or raise.
        name: What it is for, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
    """

    def __init__(
        self,
        url: str,
        on_hint: Callable[[bytes], None],
        *,
        name: str,
        timeout_s: float = 5.0,
        ping_s: float = 5.0,
    ) -> None:
        self._url = url
        self._on_hint = on_hint
        self._name = name
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._wanted: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._scope.spawn(self._run(), name=f"redis-{self._name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    def subscribe(self, stream: str) -> None:
        """Want hints for a stream; ``on_hint`` is called once when the subscription stands."""
        self._wanted.add(stream)
        self._change(stream, wanted=True)

    def unsubscribe(self, stream: str) -> None:
        """Want no more hints for a stream."""
        self._wanted.discard(stream)
        self._change(stream, wanted=False)

    def _change(self, stream: str, *, wanted: bool) -> None:
        self._changes[stream] = wanted
        self._changed.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await connect(self._url, name=self._name, timeout_s=self._timeout_s)
                failures = 0
                try:
                    await self._serve(connection)
                finally:
                    await connection.disconnect(nowait=True)
            except (exceptions.RedisError, OSError) as error:
                RECONNECTS.labels(self._name).inc()
                log.warning("redis connection lost", link=self._name, error=str(error) or repr(error))
            finally:
                CONNECTED.labels(self._name).set(0)
            await asyncio.sleep(RECONNECT_WAIT.compute(failures))
            failures += 1

    async def _serve(self, connection: Connection) -> None:
        CONNECTED.labels(self._name).set(1)
        self._changes = dict.fromkeys(self._wanted, True)
        self._changed.set()
        await first_of(send=self._send(connection), listen=self._listen(connection))

    async def _send(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._changed.wait()
            except TimeoutError:
                if loop.time() - self._heard_at > self._ping_s + self._timeout_s:
                    raise exceptions.TimeoutError("no answer to ping") from None
                await connection.send_command("PING", check_health=False)
                continue
            self._changed.clear()
            changes, self._changes = self._changes, {}
            commands = [
                ("SSUBSCRIBE" if wanted else "SUNSUBSCRIBE", stream) for stream, wanted in changes.items()
            ]
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _listen(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await connection.read_response(timeout=math.inf)
            self._heard_at = loop.time()
            if message[0] in (b"smessage", b"ssubscribe"):
                self._on_hint(message[1])
