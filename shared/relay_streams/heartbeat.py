"""The heartbeat: whether what a process needs of Redis works, found out by using it.

A connection that stands says little: the server behind it may be a replica by now, the user may lack a
permission, notifications may go nowhere. So each link writes and reads a key of its own now and then, and
each subscription waits for a message that was published to it. Readiness is what the last beats have found.
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

HEALTHY = Gauge(
    "relay_redis_healthy", "Whether the last heartbeat of a Redis client went through.", ["client"]
)

REOPEN_S = 10.0
"""Least time between two attempts to mend a subscription by opening it again."""
KEEP_MS = 30_000
"""How long the key of a heartbeat is kept."""

_PARTITIONS = 512
"""Most partitions that get a key: enough to have one at every server of a cluster."""
_NOTHING_YET = "no heartbeat yet"
_PENDING = b"-"

log = structlog.get_logger(__name__)


class Heartbeat(Lifetime):
    """Checks a process's Redis clients and subscriptions. Enter it to start; leaving stops it.

    A client is fit when every server that it uses is a primary, lets it run a script that writes and use all
    commands that the relay uses, and returns the written value. A subscription is fit when it receives a
    message that a client has published. Connections to a demoted server are closed and opened again.

    Args:
        keys: The key space.
        clients: To watch; the first publishes the messages that the subscriptions wait for.
        subscriptions: To watch.
        interval_s: Between two beats of each of them.
        timeout_s: How long a message may take.
    """

    def __init__(
        self,
        keys: KeySpace,
        clients: Sequence[RedisClient],
        subscriptions: Sequence[PubSub] = (),
        *,
        interval_s: float = 1.0,
        timeout_s: float = 2.0,
    ) -> None:
        super().__init__()
        self._process = secrets.token_hex(4)
        self._partitions = [keys.shared(partition) for partition in range(min(keys.partitions, _PARTITIONS))]
        self._publishing = clients[0]
        self._timeout_s = timeout_s
        self._beats: list[ClientBeat | PubSubBeat] = [
            *(ClientBeat(client, self._names(client.name)) for client in clients),
            *map(self._beat_of, subscriptions),
        ]
        self._interval_s = interval_s
        self._scope = TaskScope()

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._scope)
        for beat in self._beats:
            self._scope.spawn(self._repeat(beat), name=f"heartbeat-{beat.name}")

    def watch(self, subscription: PubSub) -> None:
        """Watch one more subscription, until the end."""
        beat = self._beat_of(subscription)
        self._beats.append(beat)
        self._scope.spawn(self._repeat(beat), name=f"heartbeat-{beat.name}")

    def _beat_of(self, subscription: PubSub) -> "PubSubBeat":
        names = self._names(subscription.name)
        return PubSubBeat(subscription, self._publishing, names, timeout_s=self._timeout_s)

    def _names(self, part: str) -> list[str]:
        return [partition.heartbeat(f"{self._process}:{part}") for partition in self._partitions]

    async def wait_first_beats(self) -> None:
        """Wait until everything has been tried once, at most as long as a message may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                for beat in self._beats:
                    await beat.tried.wait()

    def readiness(self) -> str:
        """Why the process would not do its work, or nothing."""
        return self._reasons(optional=False)

    def degradation(self) -> str:
        """Why the process does its work slower than it should, or nothing."""
        return self._reasons(optional=True)

    def _reasons(self, *, optional: bool) -> str:
        reasons = {beat.name: beat.reason() for beat in self._beats if beat.optional is optional}
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)

    async def _repeat(self, beat: "ClientBeat | PubSubBeat") -> None:
        while True:
            beat.due.clear()
            try:
                found = await beat.beat()
            except StoreError as error:
                found = str(error)
            if found and found != beat.found:
                log.warning("redis does not serve", client=beat.name, reason=found)
            elif beat.found and not found:
                log.info("redis serves", client=beat.name)
            beat.found = found
            beat.tried.set()
            HEALTHY.labels(beat.name).set(not found)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await beat.due.wait()


class ClientBeat:
    """The heartbeat of one link.

    Args:
        client: It.
        keys: A key per partition, for it alone.
    """

    optional = False
    """Whether the process does its work without it."""

    def __init__(self, client: RedisClient, keys: Sequence[str]) -> None:
        self.name = client.name
        self.found = _NOTHING_YET
        """What the last beat found, for people; nothing when all was well."""
        self.due = asyncio.Event()
        """Set when the next beat should not wait for its time."""
        self.tried = asyncio.Event()
        """Set with the first beat's end."""
        self._client = client
        self._keys = keys
        self._tells_role = True
        self._memory = MemoryReader(client)
        client.on_connect(self.due.set)
        HEALTHY.labels(self.name).set(0)

    def reason(self) -> str:
        """Why the link does not serve now, or nothing."""
        if self._client.connected:
            return self.found
        return f"not connected: {self._client.disconnect_reason}"[:LIMIT]

    async def beat(self) -> str:
        """Use every server of the link once. Returns what is wrong, or nothing.

        Raises:
            StoreError: The server refuses, or does not answer.
        """
        keys = self._client.one_per_server(self._keys)
        for key in keys:
            if found := await self._use(key):
                return found
        await self._memory.read(keys)
        return ""

    async def _use(self, key: str) -> str:
        if not await self._is_primary(key):
            self._client.reconnect(key)
            return "the server is no primary"
        client, value = self._client, secrets.token_hex(4)
        await _write(client, key, value, scripts.COMMANDS)
        fields, _ = await asyncio.gather(
            client.execute("HGETALL", key),
            client.execute("XREAD", "COUNT", 1, "STREAMS", f"{key}:none", "0-0", key=key),
        )
        if fields != [b"beat", value.encode()]:
            client.reconnect(key)
            return "what was written is not what is read"
        return ""

    async def _is_primary(self, key: str) -> bool:
        if self._tells_role:
            try:
                return bool((await self._client.execute("ROLE", key=key))[0] == b"master")
            except Unavailable as error:
                # A server that does not tell is asked no more: its writes tell as well.
                self._tells_role = not str(error).startswith(("NOPERM", "ERR"))
        return True


class PubSubBeat:
    """The heartbeat of one subscription: a message that a link publishes comes through it.

    Args:
        pubsub: It.
        client: What publishes.
        channels: A channel per partition, for it alone.
        timeout_s: How long a message may take.
    """

    def __init__(
        self, pubsub: PubSub, client: RedisClient, channels: Sequence[str], *, timeout_s: float
    ) -> None:
        self.name = pubsub.name
        self.found = _NOTHING_YET
        self.due = asyncio.Event()
        self.tried = asyncio.Event()
        self._pubsub = pubsub
        self._client = client
        self._channels = channels
        self._timeout_s = timeout_s
        self._told: dict[str, bytes] = {}
        """What was heard last, by channel: nothing when its subscription stands; without it there is none."""
        self._news = asyncio.Event()
        self._receivers: dict[str, int] = {}
        self._reopened_at = -REOPEN_S
        HEALTHY.labels(self.name).set(0)

    @property
    def optional(self) -> bool:
        """Whether the process does its work without it: where the server knows no such thing, sweeps do."""
        refusal = self._pubsub.refusal
        return refusal is not None and refusal.reason == UNKNOWN_COMMAND

    def reason(self) -> str:
        """Why the subscription does not serve now, or nothing."""
        if (refusal := self._pubsub.refusal) is not None:
            return refusal.words
        return self.found if self._pubsub.connected else "not connected"

    async def beat(self) -> str:
        """Hear of every server once. Returns what is wrong, or nothing.

        Raises:
            StoreError: The message could not be published.
        """
        for channel in self._client.one_per_server(self._channels):
            if found := await self._hear_of(channel):
                return found
        return ""

    async def _hear_of(self, channel: str) -> str:
        self._pubsub.subscribe(channel, self._hear)
        if (refusal := self._pubsub.refusal) is not None:
            return refusal.words
        try:
            async with asyncio.timeout(self._timeout_s):
                receivers = await self._publish(channel)
        except TimeoutError:
            self._reopen()
            return f"no message came through within {self._timeout_s:g} s"
        before = self._receivers.get(channel, 0)
        self._receivers[channel] = receivers
        if before > receivers == 0:
            # The message came from a replica of the server that has it: we are at one that was demoted.
            self._reopen()
        return ""

    async def _publish(self, channel: str) -> int:
        """Publish until the message comes through. Returns how many have it from that server itself."""
        while True:
            await self._until(lambda: channel in self._told)
            value = secrets.token_hex(4)
            self._told[channel] = _PENDING
            receivers = await _write(self._client, channel, value, scripts.SUBSCRIBING, publish=True)
            if self._told[channel] != value.encode():
                await self._until(lambda: self._told[channel] != _PENDING)
            if self._told[channel] == value.encode():
                return receivers

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _hear(self, channel: bytes, told: bytes) -> None:
        if not told:
            self.due.set()
        self._told[channel.decode()] = told
        self._news.set()

    def _reopen(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._reopened_at >= REOPEN_S:
            self._reopened_at = now
            self._told.clear()
            self._pubsub.reconnect()


async def _write(
    client: RedisClient, key: str, value: str, commands: Sequence[str], *, publish: bool = False
) -> int:
    """Write a heartbeat, as a user that may use these commands. Returns how many it was published to.

    Raises:
        Unavailable: It was not written: the server refuses, or the user lacks a permission.
    """
    beat = await run(client, heartbeat(key, value=value, keep_ms=KEEP_MS, publish=publish, commands=commands))
    if isinstance(beat, Denied):
        raise Unavailable(f"NOPERM this user may not use {beat.commands}"[:LIMIT])
    if beat.value != value.encode():
        client.reconnect(key)
        raise Unavailable("another's reply came back")
    return beat.receivers
