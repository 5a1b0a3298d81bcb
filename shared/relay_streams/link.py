"""Links: connections to Redis that pipeline by themselves and come back by themselves.

Commands submitted in one event-loop tick leave in one write, and replies come back in order, so
callers share a link without waiting for each other.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from prometheus_client import Counter, Gauge
from redis import exceptions
from redis.asyncio.connection import Connection, parse_url
from redis.backoff import EqualJitterBackoff
from redis.driver_info import DriverInfo

from relay_runtime.tasks import TaskScope, first_of
from relay_streams import scripts
from relay_streams.errors import Refused, StoreError, Unavailable
from relay_streams.scripts import Script

Command = Sequence[str | bytes | int]
Reply = Any
"""What hiredis makes of a RESP2 reply: bytes, int, None, or a list of these."""

RECONNECTS = Counter("relay_redis_reconnects_total", "Connections to Redis that were lost.", ["link"])
CONNECTED = Gauge("relay_redis_connected", "Whether a link to Redis is up.", ["link"])

_DRIVER = DriverInfo()
"""What redis-py tells the server of itself; made once, since it reads the package's metadata from disk."""

# Errors Redis answers with while it cannot take the command now: a fail-over, a load, a full memory.
_LATER = (
    "LOADING",
    "READONLY",
    "OOM",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "BUSY",
    "MISCONF",
)

log = structlog.get_logger(__name__)


RECONNECT_WAIT = EqualJitterBackoff(cap=2.0, base=0.05)
"""Between attempts to reach Redis: 25-50 ms first, doubled up to 1-2 s."""


async def connect(url: str, *, name: str, timeout_s: float) -> Connection:
    """Open a connection to Redis. Cancelling is safe.

    Args:
        url: ``redis://`` or ``rediss://`` or ``unix://``, with user, password and database.
        name: Shown by CLIENT LIST, after ``relay-``.
        timeout_s: Limit for all of it. Later writes and reads have none: their caller watches over them.

    Raises:
        ValueError: The URL has another scheme.
        RedisError: It refuses us.
        OSError: It cannot be reached.
        TimeoutError: Not in time.
    """
    settings: dict[str, Any] = dict(parse_url(url))
    connection_class: type[Connection] = settings.pop("connection_class", Connection)
    connection = connection_class(
        **settings,
        # With a timeout redis-py wraps each write in asyncio.wait_for: a task per write, and on
        # Python 3.11 a lost cancellation.
        socket_timeout=None,
        socket_connect_timeout=None,
        health_check_interval=0,
        protocol=2,
        driver_info=_DRIVER,
        client_name=f"relay-{name}",
    )
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


class Link:
    """One pipelining connection. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is.
        name: What it is for, in logs and metrics.
        timeout_s: How long one command may take before the connection counts as dead.
        max_waiting: Most commands waiting for their reply or for the connection.
    """

    def __init__(self, url: str, *, name: str, timeout_s: float = 5.0, max_waiting: int = 20_000) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self.name = name
        self._unsent: deque[tuple[Command, asyncio.Future[Reply]]] = deque()
        self._in_flight: deque[tuple[asyncio.Future[Reply], float]] = deque()
        """Commands sent, with when."""
        self._something_to_send = asyncio.Event()
        self._connected = asyncio.Event()
        self._broken_by = ""
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._scope.spawn(self._run(), name=f"redis-{self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)
        self._fail([future for _, future in self._unsent], Unavailable("the link is closed"))
        self._unsent.clear()

    @property
    def connected(self) -> bool:
        """Whether commands go out now."""
        return self._connected.is_set()

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """Queue a command for the next write and return its future reply.

        While the connection is down the command waits. When it breaks after the command went out, the
        future fails with ``Unavailable``: it may or may not have been applied. Cancelling the future
        forgets the reply; the command may still be sent.

        Raises:
            Unavailable: Too many commands wait already.
        """
        if len(self._unsent) + len(self._in_flight) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} commands already wait for Redis")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._unsent.append((command, future))
        self._something_to_send.set()
        return future

    async def execute(self, *command: str | bytes | int) -> Reply:
        """Run one command.

        Raises:
            Unavailable: No reply within the timeout, or Redis cannot take it now.
            Refused: Redis refused it.

        Cancelling is safe; the command may still be applied.
        """
        return await self._in_time(self.submit(command))

    async def run_script(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Reply:
        """Run a Lua script. Raises and cancels as ``execute`` does."""
        try:
            return await self._in_time(self.submit_script(script, keys, *arguments))
        except Refused as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await self.execute("EVAL", script.text, len(keys), *keys, *arguments)

    def submit_script(
        self, script: Script, keys: Sequence[str], *arguments: str | bytes | int
    ) -> asyncio.Future[Reply]:
        """Queue a Lua script, as ``submit`` does. Scripts are loaded at each connect."""
        return self.submit(("EVALSHA", script.sha, len(keys), *keys, *arguments))

    async def ready(self) -> None:
        """Wait until the connection is up."""
        await self._connected.wait()

    async def _in_time(self, future: asyncio.Future[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            why = "" if self.connected else f": {self._broken_by or 'not connected'}"
            raise Unavailable(f"no reply from Redis within {self._timeout_s} s{why}") from None

    # --- the connection's life -----------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await connect(self._url, name=self.name, timeout_s=self._timeout_s)
                try:
                    await self._serve(connection)
                finally:
                    await connection.disconnect(nowait=True)
            except (exceptions.RedisError, OSError) as error:
                failures = 0 if self.connected else failures + 1
                self._lost(error)
            finally:
                self._mark(up=False)
                self._fail(
                    [future for future, _ in self._in_flight], Unavailable("the connection to Redis broke")
                )
                self._in_flight.clear()
            await asyncio.sleep(RECONNECT_WAIT.compute(failures))

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it breaks."""
        async with asyncio.timeout(self._timeout_s):
            await self._load_scripts(connection)
        self._mark(up=True)
        await first_of(send=self._send(connection), read=self._read(connection), watch=self._watch())

    async def _load_scripts(self, connection: Connection) -> None:
        commands = [("SCRIPT", "LOAD", script.text) for script in scripts.ALL]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        for _ in commands:
            await connection.read_response()

    async def _send(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something_to_send.wait()
            self._something_to_send.clear()
            now = loop.time()
            batch = []
            while self._unsent:
                command, future = self._unsent.popleft()
                if not future.cancelled():
                    batch.append(command)
                    self._in_flight.append((future, now))
            if batch:
                await connection.send_packed_command(connection.pack_commands(batch), check_health=False)

    async def _read(self, connection: Connection) -> None:
        # Always reading, also when no reply is due: so a connection that closes is noticed at once.
        while True:
            try:
                reply, error = await connection.read_response(timeout=math.inf), None
            except exceptions.ResponseError as refusal:
                reply, error = None, _translate(refusal)
            future, _ = self._in_flight.popleft()
            if future.cancelled():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(reply)

    async def _watch(self) -> None:
        """A reply that is overdue means a dead connection: Redis answers in order."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeout_s / 4)
            if self._in_flight and loop.time() - self._in_flight[0][1] > self._timeout_s:
                raise exceptions.TimeoutError(f"no reply within {self._timeout_s} s")

    def _mark(self, *, up: bool) -> None:
        CONNECTED.labels(self.name).set(up)
        if up:
            self._connected.set()
        else:
            self._connected.clear()

    def _lost(self, error: BaseException) -> None:
        self._broken_by = str(error) or repr(error)
        RECONNECTS.labels(self.name).inc()
        log.warning("redis connection lost", link=self.name, error=self._broken_by)

    @staticmethod
    def _fail(futures: list[asyncio.Future[Reply]], error: StoreError) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)


def _translate(refusal: exceptions.ResponseError) -> StoreError:
    # redis-py strips the code of the errors it has a class for; the class's name says the same.
    text = str(refusal)
    known = isinstance(
        refusal, exceptions.ReadOnlyError | exceptions.OutOfMemoryError | exceptions.ClusterDownError
    )
    if known or text.startswith(_LATER):
        return Unavailable(text)
    if isinstance(refusal, exceptions.NoScriptError) and not text.startswith("NOSCRIPT"):
        text = f"NOSCRIPT {text}"
    return Refused(text)
