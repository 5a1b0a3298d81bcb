"""Nodes: a pipelining connection to one Redis server that reconnects by itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.endpoint import Endpoint
from relay_redis.errors import StoreError, Unavailable, Unencodable
from relay_redis.latency import OBSERVED_EVERY, CommandLatency
from relay_redis.metrics import REFUSALS
from relay_redis.reconnect import keep_open
from relay_redis.refusals import RECONNECT_ON, Refusal
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
    "Times that keys of another type than the schema's were found, and deleted.",
    client=OPEN,
)

log = structlog.get_logger(__name__)


class Request:
    """One command, with its future reply."""

    __slots__ = (
        "asking", "command", "expects_reply", "future", "key", "purged", "redirects", "sent_at",
        "submitted_at", "write",
    )  # fmt: skip

    def __init__(self, command: Command, key: Key | None = None, *, expects_reply: bool = True) -> None:
        self.command = command
        self.key = key
        """Decides which node of a cluster serves the command; None when any does."""
        self.expects_reply = expects_reply
        """Whether a caller awaits the reply."""
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.asking = False
        """Whether ASKING precedes it: its node is about to get the slot from another."""
        self.purged = False
        """Whether keys of another type were deleted for it."""
        self.redirects = 0
        self.submitted_at = 0.0
        """When it was submitted, on the monotonic clock, if its latency is observed; else 0."""
        self.sent_at = 0.0
        self.write = 0
        """The number of its node's write that sent it."""

    def fail(self, error: StoreError) -> None:
        """End without a reply."""
        if self.expects_reply and not self.future.done():
            self.future.set_exception(error)


class Node:
    """One pipelining connection: commands submitted in one event-loop tick leave in one write.

    Args:
        endpoint: Where to connect, resolved at each attempt.
        schema: The scripts to load, and the types of keys.
        name: Of the client, in logs and metrics.
        timeout_s: How long one command may take before the connection counts as dead.
        max_waiting: Most commands waiting for their reply or for the connection.
        on_change: Called when the connection opened (``connected``) or ended. Must not raise.
        redirect: Called with each refused request of a node of a cluster; returns whether another node
            serves it. None where there is no cluster.
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
        redirect: Callable[[Request, Refusal], bool] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._schema = schema
        self._checks = schema.checks
        self._latency = CommandLatency(name, schema)
        self._unobserved = 0
        """Commands since the last one whose latency is observed."""
        self._observers: dict[Key, Callable[[float], None]] = {}
        """By command, or by digest or text of a script."""
        self._name = name
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._redirect = redirect
        self._unsent: deque[Request] = deque()
        self._resent = 0
        """How many of the unsent ones were sent before: they are the first."""
        self._writes = 0
        self._resent_until = 0
        """The last write before a command was sent again: a WAIT of a write up to this one may precede it."""
        self._redirected_until = 0
        """The same of commands that another node serves."""
        self._in_flight: deque[Request] = deque()
        self._transport: RespTransport | None = None
        self._flushing = False
        """Whether a flush is scheduled for the end of this tick."""
        self.useful = False
        """Whether this connection has given a caller its reply."""
        self.connected = False
        self.connected_at = 0.0
        """When the connection opened, on the loop's clock."""
        self.disconnect_reason = ""
        """Why there is no connection, for people."""
        self._throttle = Throttle()
        expect(SCRIPTS_SENT, client=name)
        expect(PURGED, client=name)

    def submit(self, command: Command, key: Key | None = None) -> asyncio.Future[Reply]:
        """Queue a command for the next write and return its future reply.

        Raises:
            Unavailable: Too many commands wait already.
        """
        request = Request(command, key)
        self.enqueue(request)
        return request.future

    def enqueue(self, request: Request) -> None:
        """Queue a request for the next write.

        Raises:
            Unavailable: Too many commands wait already.
        """
        if len(self._unsent) + len(self._in_flight) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} commands already wait for Redis")
        self._unobserved += 1
        if self._unobserved == OBSERVED_EVERY:
            self._unobserved = 0
            request.submitted_at = monotonic()
        self._unsent.append(request)
        if not self._flushing:
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flushing and self._transport is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def remove_unsent(self) -> list[Request]:
        """Remove and return the requests that were never sent, for another node to serve."""
        unsent = [request for request in self._unsent if not request.future.cancelled()]
        self._unsent.clear()
        self._resent = 0
        return unsent

    def reconnect(self, key: Key | None = None) -> bool:  # noqa: ARG002  # one server serves every key
        """Close the connection, and open another. Returns whether there was one."""
        if self._transport is not None:
            self._transport.fail(exceptions.ConnectionError("reconnect requested"))
        return self.connected

    def one_per_server(self, keys: Sequence[str]) -> Sequence[str]:
        """Of these keys one for each server: this one has them all."""
        return keys[:1]

    def close(self) -> None:
        """Fail what waits; ``run`` must have ended."""
        for request in self.remove_unsent():
            request.fail(Unavailable("the Redis client is closed"))

    @property
    def idle(self) -> bool:
        """Whether no command waits for a write or a reply."""
        return not self._unsent and not self._in_flight

    # --- the connection ------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection open, until cancelled."""
        await keep_open(self._endpoint, self, name=self._name, timeout_s=self._timeout_s)

    async def serve(self, connection: Connection) -> None:
        """Part of ``ConnectionHandler``."""
        async with asyncio.timeout(self._timeout_s):
            await self._load_scripts(connection)
        self._transport = transport = RespTransport(connection, self._on_reply, self._flush)
        self.connected = True
        self.connected_at = asyncio.get_running_loop().time()
        self._on_change(self)
        self._flush()
        await first_of(closed=transport.wait_closed(), watch=self._watch())

    async def _load_scripts(self, connection: Connection) -> None:
        """Load the scripts. A server that refuses SCRIPT LOAD gets each as text when it is first run."""
        commands = [("SCRIPT", "LOAD", script.text) for script in self._schema.scripts]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        refusals = [await _loaded(connection, script) for script in self._schema.scripts]
        if any(refusals) and self._throttle.admit("SCRIPT LOAD") is not None:
            log.warning(
                "redis refuses SCRIPT LOAD, sending scripts as text", client=self._name, error=refusals[0]
            )

    def _flush(self) -> None:
        """Send what waits, in one write."""
        self._flushing = False
        transport = self._transport
        if transport is None or transport.paused or transport.closed or not self._unsent:
            return
        try:
            self._send(transport)
        except Exception as error:  # noqa: BLE001  # what is in flight may not have been written
            transport.fail(error)

    def _send(self, transport: RespTransport) -> None:
        now = asyncio.get_running_loop().time()
        batch: list[bytes] = []
        unsent, in_flight = self._unsent, self._in_flight
        self._resent = 0
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
            transport.write(batch)

    def _asking(self, now: float) -> Command:
        asking = Request(("ASKING",), expects_reply=False)
        asking.sent_at = now
        asking.write = self._writes
        self._in_flight.append(asking)
        return asking.command

    def _on_reply(self, reply: Reply) -> None:
        if not self._in_flight:
            raise exceptions.InvalidResponse("a reply without a command")
        request = self._in_flight[0]
        command = request.command
        call = command[1] if command[0] in _BY_SCRIPT else command[0]
        # It stays in flight until it is done with: an exception here fails it with the connection.
        if type(reply) is Refusal:
            self._on_refusal(request, reply)
        elif not self._checks.get(call, anything)(reply):
            raise exceptions.InvalidResponse(f"the reply to {command[0]!r} is another command's")
        elif request.write <= self._resent_until and command[0] == "WAIT":
            self._resend_wait(request)
        elif not request.future.done():
            request.future.set_result(reply)
            self.useful = True
            if request.submitted_at:
                self._observe(call, monotonic() - request.submitted_at)
        self._in_flight.popleft()

    def _observe(self, call: Key, seconds: float) -> None:
        observe = self._observers.get(call)
        if observe is None:
            observe = self._observers[call] = self._latency.observer(call)
        observe(seconds)

    # --- refusals ------------------------------------------------------------------------------

    def _on_refusal(self, request: Request, refusal: Refusal) -> None:
        if refusal.code == "NOSCRIPT" and self._resend_as_text(request):
            return
        if refusal.code == "WRONGTYPE" and self._purge(request):
            return
        if self._redirect is not None and self._redirect(request, refusal):
            self._redirected_until = self._resent_until = self._writes
            return
        REFUSALS.labels(self._name, refusal.reason).inc()
        suppressed = self._throttle.admit(refusal.reason)
        if suppressed is not None:
            log.warning(
                "redis refuses a command", client=self._name, command=request.command[0],
                error=refusal.words, suppressed=suppressed,
            )  # fmt: skip
        request.fail(refusal.store_error())
        if refusal.reason in RECONNECT_ON:
            raise exceptions.ConnectionError(f"this server cannot serve this client: {refusal.words}")

    def _resend_as_text(self, request: Request) -> bool:
        """Send a script that Redis does not have as text; Redis has it from then on."""
        script = self._schema.by_call.get(request.command[1])
        if script is None or request.command[0] != "EVALSHA":
            return False
        SCRIPTS_SENT.labels(self._name).inc()
        if self._throttle.admit("NOSCRIPT") is not None:
            log.warning("redis misses a script, sending its text", client=self._name, script=script.name)
        request.command = ("EVAL", script.text, *request.command[2:])
        self._resend(request)
        self._resent_until = self._writes
        return True

    def _purge(self, request: Request) -> bool:
        """Delete keys of another type, once for each command that meets them, and send the command again."""
        types = self._schema.types_of(request.command)
        if request.purged or not types:
            return False
        keys = list(types)
        request.purged = True
        PURGED.labels(self._name).inc()
        if self._throttle.admit("WRONGTYPE") is not None:
            log.warning("redis has keys of another type, deleting them", client=self._name, keys=keys[:8])
        # What it could not delete, the command behind it meets again.
        purge = Request(
            ("EVALSHA", self._schema.purge.sha, len(keys), *keys, *types.values()),
            request.key or keys[0],
            expects_reply=False,
        )
        purge.purged = True
        self._resend(purge)
        self._resend(request)
        self._resent_until = self._writes
        return True

    def _resend(self, request: Request) -> None:
        """Send before whatever was not sent yet, in the order of sending."""
        self._unsent.insert(self._resent, request)
        self._resent += 1
        self._schedule_flush()

    def _resend_wait(self, request: Request) -> None:
        """Resend a WAIT whose reply does not cover a command before it, since that ran later or elsewhere.

        It is sent again behind a script, and fails behind a command that another node of the cluster runs.
        """
        if request.write <= self._redirected_until:
            request.fail(Unavailable("the write before this WAIT went to another node of the cluster"))
        elif not request.future.cancelled():
            self._resend(request)

    # --- the end of a connection----------------------------------------------------------------

    async def _watch(self) -> None:
        """An overdue reply means a dead connection: Redis replies in order."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeout_s / 4)
            if self._in_flight and loop.time() - self._in_flight[0].sent_at > self._timeout_s:
                raise exceptions.TimeoutError(f"no reply within {self._timeout_s} s")

    def on_disconnect(self, reason: str) -> None:
        """Part of ``ConnectionHandler``."""
        self.disconnect_reason = reason
        self.connected = False
        self._transport = None
        self._on_change(self)
        failed = list(self._in_flight)
        self._in_flight.clear()
        for request in failed:
            request.fail(Unavailable("the connection to Redis broke"))


async def _loaded(connection: Connection, script: Script) -> str:
    """The reply to loading a script: the refusal's text, empty when the script is loaded."""
    try:
        reply = await connection.read_response()
    except (exceptions.BusyLoadingError, exceptions.MasterDownError):
        raise
    except exceptions.ResponseError as error:
        return Refusal(str(error)).words
    if reply != script.sha.encode():
        raise exceptions.InvalidResponse("a reply without a command")
    return ""


_BY_SCRIPT = ("EVALSHA", "EVAL")
