"""Nodes: a connection to one Redis server that pipelines by itself and comes back by itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.connection import RECONNECT_WAIT, REFUSALS, Endpoint, Losses, use
from relay_redis.errors import StoreError, Unavailable, Unencodable
from relay_redis.refusals import LEAVE, Refusal
from relay_redis.replies import anything
from relay_redis.schema import Key, Schema
from relay_redis.script import Script
from relay_redis.transport import Command, Reply, RespTransport, pack
from relay_runtime.tasks import first_of
from relay_telemetry.counter import OPEN, counter, expect
from relay_telemetry.throttle import Throttle

__all__ = ["Command", "Node", "Reply", "Request"]

SCRIPTS_SENT = counter(
    "relay_redis_scripts_sent_total",
    "Scripts that Redis did not have, and that were sent as text.",
    client=OPEN,
)
PURGED = counter(
    "relay_redis_purges_total",
    "Times that keys of another type than the relay's were found, and removed.",
    client=OPEN,
)

log = structlog.get_logger(__name__)


class Request:
    """One command on its way, with its reply to come."""

    __slots__ = ("asking", "command", "future", "key", "purged", "redirects", "sent_at", "write")

    def __init__(self, command: Command, key: Key | None = None) -> None:
        self.command = command
        self.key = key
        """What decides which node of a cluster serves it; None when any does."""
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.asking = False
        """Whether it goes to a node that is about to take over its slot, and must be told so."""
        self.purged = False
        """Whether keys of another type were removed for it."""
        self.redirects = 0
        self.sent_at = 0.0
        self.write = 0
        """Which write of its node it left in."""

    def fail(self, error: StoreError) -> None:
        """End without a reply."""
        if not self.future.done():
            self.future.set_exception(error)


class Node:
    """One pipelining connection: commands submitted in one event-loop tick leave in one write.

    Args:
        endpoint: Where to connect, asked at each attempt.
        schema: The scripts to load, and the types of keys.
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
        schema: Schema,
        *,
        name: str,
        timeout_s: float,
        max_waiting: int,
        on_change: Callable[["Node"], None],
        on_refusal: Callable[[Request, Refusal], bool] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._schema = schema
        self._checks = schema.checks
        self._name = name
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._on_refusal = on_refusal
        self._unsent: deque[Request] = deque()
        self._again = 0
        """How many of the unsent ones were sent before: they are the first."""
        self._writes = 0
        self._doubtful = 0
        """The write up to which a WAIT may not cover a command before it: that was to be sent again since."""
        self._redirected = 0
        """The same of commands that were sent on to another node."""
        self._in_flight: deque[Request] = deque()
        self._channel: RespTransport | None = None
        self._flushing = False
        """Whether this tick's commands leave at its end."""
        self._dropped = asyncio.Event()
        self._answered = False
        """Whether the connection was of use: the next attempt need not wait long."""
        self.connected = False
        self.connected_at = 0.0
        """When the connection came up, on the loop's clock."""
        self.broken_by = ""
        """Why there is no connection, for people."""
        self._throttle = Throttle()
        self._losses = Losses(name)
        expect(SCRIPTS_SENT, client=name)
        expect(PURGED, client=name)

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
        if not self._flushing:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing and self._channel is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def take_unsent(self) -> list[Request]:
        """Give up what was never sent, for another node to serve."""
        unsent = [request for request in self._unsent if not request.future.cancelled()]
        self._unsent.clear()
        self._again = 0
        return unsent

    def drop(self, key: Key | None = None) -> bool:  # noqa: ARG002  # one server serves every key
        """Close the connection, and open it again. Returns whether one stood."""
        if self.connected:
            self._dropped.set()
        return self.connected

    def one_each(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each server: this one has them all."""
        return keys[:1]

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
            except Exception as error:  # noqa: BLE001  # the root of this connection; counted
                failures = 0 if self._answered else failures + 1
                self.broken_by = self._losses.count(error)
            finally:
                self._fail_in_flight()
            await asyncio.sleep(RECONNECT_WAIT.compute(failures))

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it breaks."""
        async with asyncio.timeout(self._timeout_s):
            await self._load_scripts(connection)
        self._dropped.clear()
        self._answered = False
        self._channel = channel = RespTransport(connection, self._received, self._flush)
        self.connected = True
        self.connected_at = asyncio.get_running_loop().time()
        self._on_change(self)
        self._flush()
        await first_of(lost=channel.lost(), watch=self._watch())

    async def _load_scripts(self, connection: Connection) -> None:
        """Make the scripts known. A server that does not let us gets them as text, one by one."""
        commands = [("SCRIPT", "LOAD", script.text) for script in self._schema.scripts]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        refusals = [await _loaded(connection, script) for script in self._schema.scripts]
        if any(refusals) and self._throttle.admit("SCRIPT LOAD") is not None:
            log.warning("redis loads no scripts, they are sent as text", client=self._name, error=refusals[0])

    def _flush(self) -> None:
        """Send what waits, in one write."""
        self._flushing = False
        channel = self._channel
        if channel is None or channel.full or channel.ended or not self._unsent:
            return
        try:
            self._send(channel)
        except Exception as error:  # noqa: BLE001  # what is in flight may not have been written
            channel.end(error)

    def _send(self, channel: RespTransport) -> None:
        now = asyncio.get_running_loop().time()
        batch: list[bytes] = []
        unsent, in_flight = self._unsent, self._in_flight
        self._again = 0
        self._writes = write = self._writes + 1
        while unsent:
            request = unsent.popleft()
            if request.future.cancelled():
                continue
            try:
                packed = pack(request.command)
            except Unencodable as error:
                request.fail(error)
                continue
            if request.asking:
                batch.append(pack(self._asking(now)))
            batch.append(packed)
            request.sent_at = now
            request.write = write
            in_flight.append(request)
        if batch:
            channel.write(batch)

    def _asking(self, now: float) -> Command:
        asking = Request(("ASKING",))
        asking.sent_at = now
        asking.write = self._writes
        asking.future.cancel()  # nobody waits for its reply
        self._in_flight.append(asking)
        return asking.command

    def _received(self, reply: Reply) -> None:
        if not self._in_flight:
            raise exceptions.InvalidResponse("redis answered what nobody had asked")
        request = self._in_flight[0]
        command = request.command
        # It stays in flight until it is done with: what raises here fails it with the connection.
        if type(reply) is Refusal:
            self._refused(request, reply)
        elif not self._checks.get(command[1] if command[0] in _BY_SCRIPT else command[0], anything)(reply):
            raise exceptions.InvalidResponse(f"redis answered {command[0]!r} with another's reply")
        elif request.write <= self._doubtful and command[0] == "WAIT":
            self._wait_again(request)
        elif not request.future.done():
            request.future.set_result(reply)
            self._answered = True
        self._in_flight.popleft()

    # --- refusals ------------------------------------------------------------------------------

    def _refused(self, request: Request, refusal: Refusal) -> None:
        if refusal.code == "NOSCRIPT" and self._send_as_text(request):
            return
        if refusal.code == "WRONGTYPE" and self._purge(request):
            return
        if self._on_refusal is not None and self._on_refusal(request, refusal):
            self._redirected = self._doubtful = self._writes
            return
        REFUSALS.labels(self._name, refusal.reason).inc()
        held_back = self._throttle.admit(refusal.reason)
        if held_back is not None:
            log.warning(
                "redis refuses a command", client=self._name, command=request.command[0],
                error=refusal.words, held_back=held_back,
            )  # fmt: skip
        request.fail(refusal.store_error())
        if refusal.reason in LEAVE:
            raise exceptions.ConnectionError(f"this server is no primary for us: {refusal.words}")

    def _send_as_text(self, request: Request) -> bool:
        """Send a script that Redis does not have as text; Redis has it from then on."""
        script = self._schema.by_call.get(request.command[1])
        if script is None or request.command[0] != "EVALSHA":
            return False
        SCRIPTS_SENT.labels(self._name).inc()
        if self._throttle.admit("NOSCRIPT") is not None:
            log.warning("redis has lost a script, sending its text", client=self._name, script=script.name)
        request.command = ("EVAL", script.text, *request.command[2:])
        self._send_again(request)
        self._doubtful = self._writes
        return True

    def _purge(self, request: Request) -> bool:
        """Remove keys of another type, once for each command that meets them, and send the command again."""
        types = self._schema.types_of(request.command)
        if request.purged or not types:
            return False
        keys = list(types)
        request.purged = True
        PURGED.labels(self._name).inc()
        if self._throttle.admit("WRONGTYPE") is not None:
            log.warning("redis has keys of another type, removing them", client=self._name, keys=keys[:8])
        sha = self._schema.purge.sha
        purge = Request(("EVALSHA", sha, len(keys), *keys, *types.values()), request.key or keys[0])
        purge.purged = True
        purge.future.add_done_callback(_forget)
        self._send_again(purge)
        self._send_again(request)
        self._doubtful = self._writes
        return True

    def _send_again(self, request: Request) -> None:
        """Send before whatever was not sent yet, in the order of sending."""
        self._unsent.insert(self._again, request)
        self._again += 1
        self._flush_soon()

    def _wait_again(self, request: Request) -> None:
        """A WAIT whose reply says nothing of a command before it, which has not been run here meanwhile.

        It is sent again behind a script, and fails behind a command that another node of the cluster runs.
        """
        if request.write <= self._redirected:
            request.fail(Unavailable("what it waits for went to another node of the cluster"))
        elif not request.future.cancelled():
            self._send_again(request)

    # --- the connection's end ------------------------------------------------------------------

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

    def _fail_in_flight(self) -> None:
        self.connected = False
        self._channel = None
        self._on_change(self)
        failed = list(self._in_flight)
        self._in_flight.clear()
        for request in failed:
            request.fail(Unavailable("the connection to Redis broke"))


def _forget(reply: asyncio.Future[Reply]) -> None:
    """Nobody waits for it: what it could not do is what the command behind it meets."""
    if not reply.cancelled():
        reply.exception()


async def _loaded(connection: Connection, script: Script) -> str:
    """The reply to loading a script: why it is not loaded, or nothing."""
    try:
        reply = await connection.read_response()
    except (exceptions.BusyLoadingError, exceptions.MasterDownError):
        raise
    except exceptions.ResponseError as error:
        return Refusal(str(error)).words
    if reply != script.sha.encode():
        raise exceptions.InvalidResponse("redis answered what nobody had asked")
    return ""


_BY_SCRIPT = ("EVALSHA", "EVAL")
