"""The heartbeat: a periodic use of Redis that decides readiness.

An open connection proves little: its server may have become a replica, the user may lack a permission,
notifications may reach no subscriber. So each Redis client periodically writes and reads a key of its own,
and each pub/sub client receives a message published to it. Readiness is the result of the last beats.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

import structlog
from prometheus_client import Gauge

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError, Unavailable
from relay_redis.memory import MemoryReader
from relay_redis.pubsub import PubSub
from relay_redis.refusals import LIMIT, UNKNOWN_COMMAND
from relay_runtime.lifetime import Lifetime
from relay_runtime.tasks import TaskScope
from relay_streams import scripts
from relay_streams.keys import KeySpace
from relay_streams.scripts.call import run
from relay_streams.scripts.heartbeat import Denied, heartbeat
from relay_streams.scripts.permissions import needed
from relay_telemetry.throttle import Throttle

HEALTHY = Gauge(
    "relay_redis_healthy", "Whether the last heartbeat of a Redis client went through.", ["client"]
)

REOPEN_S = 10.0
"""Least time between two reconnects of a pub/sub client without messages."""
KEEP_MS = 30_000
"""How long the key of a heartbeat is kept."""

_PARTITIONS = 512
"""Most partitions that get a key: enough to have one at every server of a cluster."""
_NOTHING_YET = "no heartbeat yet"
_PENDING = b"-"

log = structlog.get_logger(__name__)


class Heartbeat(Lifetime):
    """Checks a process's Redis clients and pub/sub clients. Enter it to start; leaving stops it.

    A client is healthy when every server that it uses is a primary, lets it run a script that writes and use
    all commands that the relay uses, and returns the written value. A pub/sub client is healthy when it
    receives a message that a client has published. Connections to a demoted server are closed and opened
    again.

    Args:
        keys: The key space.
        clients: To check; the first publishes the messages for the pub/sub clients.
        subscriptions: Pub/sub clients to check.
        interval_s: The time between two beats of each of them.
        timeout_s: How long a message may take.
        commands: The commands whose permission the clients need.
    """

    def __init__(
        self,
        keys: KeySpace,
        clients: Sequence[RedisClient],
        subscriptions: Sequence[PubSub] = (),
        *,
        interval_s: float = 1.0,
        timeout_s: float = 2.0,
        commands: Sequence[str] = needed(jobs=False),
    ) -> None:
        super().__init__()
        self._process = secrets.token_hex(4)
        self._partitions = [keys.shared(partition) for partition in range(min(keys.partitions, _PARTITIONS))]
        self._clients = clients
        self._publishing = clients[0]
        self._timeout_s = timeout_s
        self._beats: list[ClientBeat | PubSubBeat] = [
            *(ClientBeat(client, self._names(client.name), commands) for client in clients),
            *map(self._beat_of, subscriptions),
        ]
        self._interval_s = interval_s
        self._scope = TaskScope()

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._scope)
        for beat in self._beats:
            self._scope.spawn(self._repeat(beat), name=f"heartbeat-{beat.name}")

    def watch(self, subscription: PubSub) -> None:
        """Check one more pub/sub client, until the end."""
        beat = self._beat_of(subscription)
        self._beats.append(beat)
        self._scope.spawn(self._repeat(beat), name=f"heartbeat-{beat.name}")

    def _beat_of(self, subscription: PubSub) -> "PubSubBeat":
        names = self._names(subscription.name)
        return PubSubBeat(subscription, self._publishing, names, timeout_s=self._timeout_s)

    def _names(self, part: str) -> list[str]:
        return [partition.heartbeat(f"{self._process}:{part}") for partition in self._partitions]

    async def wait_first_beats(self) -> None:
        """Wait for the first beat of each client, for ``timeout_s`` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                for beat in self._beats:
                    await beat.has_result.wait()

    async def wait_reached(self) -> None:
        """Wait until every client is connected, without a limit, then as ``wait_first_beats``.

        A warning names the setting now and then. Safe to cancel.
        """
        throttle = Throttle()
        while away := [client for client in self._clients if not client.connected]:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await away[0].ready()
            except TimeoutError:
                if throttle.admit("") is not None:
                    log.warning(
                        "redis not reached",
                        setting="RELAY_REDIS_URL",
                        client=away[0].name,
                        reason=away[0].disconnect_reason[:LIMIT],
                    )
        await self.wait_first_beats()

    def readiness(self) -> str:
        """The reasons why the process cannot work; empty when it can."""
        return self._reasons(optional=False)

    def degradation(self) -> str:
        """The reasons why the process works slower than it should; empty when there are none."""
        return self._reasons(optional=True)

    def _reasons(self, *, optional: bool) -> str:
        reasons = {beat.name: beat.reason() for beat in self._beats if beat.optional is optional}
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)

    async def _repeat(self, beat: "ClientBeat | PubSubBeat") -> None:
        while True:
            beat.due.clear()
            try:
                failure = await beat.beat()
            except StoreError as error:
                failure = str(error)
            if failure and failure != beat.failure:
                log.warning("redis does not serve", client=beat.name, reason=failure)
            elif beat.failure and not failure:
                log.info("redis serves", client=beat.name)
            beat.failure = failure
            beat.has_result.set()
            HEALTHY.labels(beat.name).set(not failure)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await beat.due.wait()


class ClientBeat:
    """The heartbeat of one Redis client.

    Args:
        client: The client.
        keys: A key per partition, for this client alone.
        commands: The commands whose permission is checked.
    """

    optional = False
    """Whether the process can work without it."""

    def __init__(
        self, client: RedisClient, keys: Sequence[str], commands: Sequence[str] = needed(jobs=False)
    ) -> None:
        self.name = client.name
        self._commands = commands
        self.failure = _NOTHING_YET
        """Why the last beat failed, for people; empty when it succeeded."""
        self.due = asyncio.Event()
        """Set when the next beat should come at once."""
        self.has_result = asyncio.Event()
        """Set when the first beat has ended."""
        self._client = client
        self._keys = keys
        self._reports_role = True
        self._memory = MemoryReader(client)
        client.on_connect(self.due.set)
        HEALTHY.labels(self.name).set(0)

    def reason(self) -> str:
        """Why the client does not serve now; empty when it does."""
        if self._client.connected:
            return self.failure
        return f"not connected: {self._client.disconnect_reason}"[:LIMIT]

    async def beat(self) -> str:
        """Use every server of the client once. Returns the failure; empty when there is none.

        Raises:
            StoreError: The server refuses, or does not reply.
        """
        keys = self._client.one_per_server(self._keys)
        for key in keys:
            if failure := await self._use(key):
                return failure
        await self._memory.read(keys)
        return ""

    async def _use(self, key: str) -> str:
        if not await self._is_primary(key):
            self._client.reconnect(key)
            return "the server is no primary"
        client, value = self._client, secrets.token_hex(4)
        await _write(client, key, value, self._commands)
        fields, _ = await asyncio.gather(
            client.execute("HGETALL", key),
            client.execute("XREAD", "COUNT", 1, "STREAMS", f"{key}:none", "0-0", key=key),
        )
        if fields != [b"beat", value.encode()]:
            client.reconnect(key)
            return "the value read is not the value written"
        return ""

    async def _is_primary(self, key: str) -> bool:
        if self._reports_role:
            try:
                return bool((await self._client.execute("ROLE", key=key))[0] == b"master")
            except Unavailable as error:
                # Not asked again of a server that refuses ROLE: a replica refuses the write, too.
                self._reports_role = not str(error).startswith(("NOPERM", "ERR"))
        return True


class PubSubBeat:
    """The heartbeat of one pub/sub client: it receives a message that a Redis client publishes.

    Args:
        pubsub: The pub/sub client.
        client: Publishes the messages.
        channels: A channel per partition, for this client alone.
        timeout_s: How long a message may take.
    """

    def __init__(
        self, pubsub: PubSub, client: RedisClient, channels: Sequence[str], *, timeout_s: float
    ) -> None:
        self.name = pubsub.name
        self.failure = _NOTHING_YET
        self.due = asyncio.Event()
        self.has_result = asyncio.Event()
        self._pubsub = pubsub
        self._client = client
        self._channels = channels
        self._timeout_s = timeout_s
        self._received: dict[str, bytes] = {}
        """The last message by channel: empty once it is subscribed, absent before."""
        self._has_message = asyncio.Event()
        self._receivers: dict[str, int] = {}
        self._reopened_at = -REOPEN_S
        HEALTHY.labels(self.name).set(0)

    @property
    def optional(self) -> bool:
        """Whether the process can work without it: on a server without sharded pub/sub, sweeps replace it."""
        refusal = self._pubsub.refusal
        return refusal is not None and refusal.reason == UNKNOWN_COMMAND

    def reason(self) -> str:
        """Why the client does not receive messages now; empty when it does."""
        if (refusal := self._pubsub.refusal) is not None:
            return refusal.words
        return self.failure if self._pubsub.connected else "not connected"

    async def beat(self) -> str:
        """Receive one message from every server. Returns the failure; empty when there is none.

        Raises:
            StoreError: The message could not be published.
        """
        for channel in self._client.one_per_server(self._channels):
            if failure := await self._check_channel(channel):
                return failure
        return ""

    async def _check_channel(self, channel: str) -> str:
        self._pubsub.subscribe(channel, self._on_message)
        if (refusal := self._pubsub.refusal) is not None:
            return refusal.words
        try:
            async with asyncio.timeout(self._timeout_s):
                receivers = await self._publish(channel)
        except TimeoutError:
            self._reopen()
            return f"no message received within {self._timeout_s:g} s"
        before = self._receivers.get(channel, 0)
        self._receivers[channel] = receivers
        if before > receivers == 0:
            # The message came over replication: our connection is to a server that was demoted.
            self._reopen()
        return ""

    async def _publish(self, channel: str) -> int:
        """Publish until the message is received. Returns the subscribers at the publishing server."""
        while True:
            await self._wait_until(lambda: channel in self._received)
            value = secrets.token_hex(4)
            self._received[channel] = _PENDING
            receivers = await _write(self._client, channel, value, scripts.SUBSCRIBING, publish=True)
            if self._received[channel] != value.encode():
                await self._wait_until(lambda: self._received[channel] != _PENDING)
            if self._received[channel] == value.encode():
                return receivers

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._has_message.clear()
            await self._has_message.wait()

    def _on_message(self, channel: bytes, message: bytes) -> None:
        if not message:
            self.due.set()
        self._received[channel.decode()] = message
        self._has_message.set()

    def _reopen(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._reopened_at >= REOPEN_S:
            self._reopened_at = now
            self._received.clear()
            self._pubsub.reconnect()


async def _write(
    client: RedisClient, key: str, value: str, commands: Sequence[str], *, publish: bool = False
) -> int:
    """Write a heartbeat if the user may run these commands. Returns how many subscribers received it.

    Raises:
        Unavailable: It was not written: the server refuses, or the user lacks a permission.
    """
    beat = await run(client, heartbeat(key, value=value, keep_ms=KEEP_MS, publish=publish, commands=commands))
    if isinstance(beat, Denied):
        raise Unavailable(f"NOPERM this user may not use {beat.commands}"[:LIMIT])
    if beat.value != value.encode():
        client.reconnect(key)
        raise Unavailable("the reply is another command's")
    return beat.receivers
