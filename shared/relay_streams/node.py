"""Nodes: a connection to one Redis server that pipelines by itself and comes back by itself."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_runtime.tasks import first_of
from relay_streams import scripts
from relay_streams.channel import Channel, Command, Reply
from relay_streams.connection import RECONNECT_WAIT, RECONNECTS, Endpoint, use
from relay_streams.errors import Refused, StoreError, Unavailable
from relay_streams.slots import Key

__all__ = ["Command", "Node", "Reply", "Request"]

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
_LATER_CLASSES = (
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)

log = structlog.get_logger(__name__)


class Request:
    """One command on its way, with its reply to come."""

    __slots__ = ("asking", "command", "future", "key", "redirects", "sent_at")

    def __init__(self, command: Command, key: Key | None = None) -> None:
        self.command = command
        self.key = key
        """What decides which node of a cluster serves it; None when any does."""
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.asking = False
        """Whether it goes to a node that is about to take over its slot, and must be told so."""
        self.redirects = 0
        self.sent_at = 0.0

    def fail(self, error: StoreError) -> None:
        """End without a reply."""
        if not self.future.done():
            self.future.set_exception(error)


class Node:
    """One pipelining connection: commands submitted in one event-loop tick leave in one write.

    Args:
        endpoint: Where to connect, asked at each attempt.
        name: Of the link, in logs and metrics.
        timeout_s: How long one command may take before the connection counts as dead.
        max_waiting: Most commands waiting for their reply or for the connection.
        on_change: Called when the connection came up (``connected``) or was lost. Must not raise.
        on_refusal: Asked about each refused request of a node of a cluster: returns whether it has taken
            it over, to be served elsewhere. None where there is no cluster.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        name: str,
        timeout_s: float,
        max_waiting: int,
        on_change: Callable[["Node"], None],
        on_refusal: Callable[[Request, exceptions.ResponseError], bool] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._on_refusal = on_refusal
        self._unsent: deque[Request] = deque()
        self._in_flight: deque[Request] = deque()
        self._channel: Channel | None = None
        self._flushing = False
        """Whether this tick's commands leave at its end."""
        self._dropped = asyncio.Event()
        self.connected = False
        self.connected_at = 0.0
        """When the connection came up, on the loop's clock."""
        self.broken_by = ""
        """Why there is no connection, for people."""

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write and return its future reply.

        Raises:
            Unavailable: Too many commands wait already.
        """
        request = Request(command, key)
        self.put(request)
        return request.future

    def put(self, request: Request) -> None:
        """Queue a request for the next write.

        Raises:
            Unavailable: Too many commands wait already.
        """
        if len(self._unsent) + len(self._in_flight) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} commands already wait for Redis")
        self._unsent.append(request)
        if not self._flushing and self._channel is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def take_unsent(self) -> list[Request]:
        """Give up what was never sent, for another node to serve."""
        unsent = [request for request in self._unsent if not request.future.cancelled()]
        self._unsent.clear()
        return unsent

    def drop(self, key: Key | None = None) -> bool:  # noqa: ARG002  # one server serves every key
        """Close the connection, and open it again. Returns whether one stood."""
        if self.connected:
            self._dropped.set()
        return self.connected

    def close(self) -> None:
        """Fail what waits; ``run`` must have ended."""
        for request in self.take_unsent():
            request.fail(Unavailable("the link is closed"))

    @property
    def idle(self) -> bool:
        """Whether nothing waits for it."""
        return not self._unsent and not self._in_flight

    # --- the connection's life -----------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        failures = 0
        while True:
            try:
                await use(self._endpoint, self._serve, name=self._name, timeout_s=self._timeout_s)
            except (exceptions.RedisError, OSError) as error:
                failures = 0 if self.connected else failures + 1
                self._lost(error)
            finally:
                self._fail_in_flight()
            await asyncio.sleep(RECONNECT_WAIT.compute(failures))

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it breaks."""
        async with asyncio.timeout(self._timeout_s):
            await self._load_scripts(connection)
        self._dropped.clear()
        self._channel = channel = Channel(connection, self._received, self._flush)
        self.connected = True
        self.connected_at = asyncio.get_running_loop().time()
        self._on_change(self)
        self._flush()
        await first_of(lost=channel.lost(), watch=self._watch())

    async def _load_scripts(self, connection: Connection) -> None:
        commands = [("SCRIPT", "LOAD", script.text) for script in scripts.ALL]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        for _ in commands:
            await connection.read_response()

    def _flush(self) -> None:
        """Send what waits, in one write."""
        self._flushing = False
        channel = self._channel
        if channel is None or channel.full or not self._unsent:
            return
        now = asyncio.get_running_loop().time()
        batch: list[Command] = []
        for request in self._unsent:
            if request.future.cancelled():
                continue
            if request.asking:
                batch.append(self._asking(now))
            batch.append(request.command)
            request.sent_at = now
            self._in_flight.append(request)
        self._unsent.clear()
        if batch:
            channel.write(batch)

    def _asking(self, now: float) -> Command:
        asking = Request(("ASKING",))
        asking.sent_at = now
        asking.future.cancel()  # nobody waits for its reply
        self._in_flight.append(asking)
        return asking.command

    def _received(self, reply: Reply) -> None:
        request = self._in_flight.popleft()
        if isinstance(reply, exceptions.ResponseError):
            self._refused(request, reply)
        elif isinstance(reply, Exception):
            raise reply
        elif not request.future.cancelled():
            request.future.set_result(reply)

    def _refused(self, request: Request, refusal: exceptions.ResponseError) -> None:
        if self._on_refusal is not None and self._on_refusal(request, refusal):
            return
        request.fail(_translate(refusal))
        if isinstance(refusal, exceptions.ReadOnlyError):
            raise exceptions.ConnectionError("it is a replica now")

    async def _watch(self) -> None:
        """A reply that is overdue means a dead connection: Redis answers in order."""
        loop = asyncio.get_running_loop()
        while not self._dropped.is_set():
            try:
                async with asyncio.timeout(self._timeout_s / 4):
                    await self._dropped.wait()
            except TimeoutError:
                if self._in_flight and loop.time() - self._in_flight[0].sent_at > self._timeout_s:
                    raise exceptions.TimeoutError(f"no reply within {self._timeout_s} s") from None
        raise exceptions.ConnectionError("opened again, since nothing came of it")

    def _lost(self, error: BaseException) -> None:
        self.broken_by = str(error) or repr(error)
        RECONNECTS.labels(self._name).inc()
        log.warning("redis connection lost", link=self._name, error=self.broken_by)

    def _fail_in_flight(self) -> None:
        self.connected = False
        self._channel = None
        self._on_change(self)
        failed = list(self._in_flight)
        self._in_flight.clear()
        for request in failed:
            request.fail(Unavailable("the connection to Redis broke"))


def _translate(refusal: exceptions.ResponseError) -> StoreError:
    # redis-py strips the code of the errors it has a class for; the class's name says the same.
    text = str(refusal)
    if isinstance(refusal, _LATER_CLASSES) or text.startswith(_LATER):
        return Unavailable(text)
    if isinstance(refusal, exceptions.AskError):
        return Refused(f"this is a node of a cluster, and the URL does not say so: {text}")
    if isinstance(refusal, exceptions.NoScriptError) and not text.startswith("NOSCRIPT"):
        text = f"NOSCRIPT {text}"
    return Refused(text)
