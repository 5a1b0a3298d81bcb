"""The heartbeat: ready means that it works; and every connection leaves a server that was demoted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from blockbuster import BlockBuster
from tests.rigs.need import need
from tests.rigs.redis_process import Process, workshop
from tests.rigs.resp import NOPERM, UNKNOWN, Resp

from relay_redis.client import RedisClient
from relay_redis.local_server import distribution_binary
from relay_redis.metrics import RECONNECTS
from relay_streams.consumer import StreamConsumer
from relay_streams.heartbeat import HEALTHY, Heartbeat
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA

Eventually = Callable[..., object]


@dataclass
class Part:
    """What a process has of connections, and its heartbeat."""

    client: RedisClient
    consumer: StreamConsumer
    heartbeat: Heartbeat


@asynccontextmanager
async def part(url: str, *, interval_s: float = 0.1, timeout_s: float = 0.5) -> AsyncIterator[Part]:
    async with (
        RedisClient(url, SCHEMA, name="beat", timeout_s=timeout_s) as client,
        StreamConsumer(url, name="beat", timeout_s=timeout_s, sweep_s=0.2) as consumer,
        Heartbeat(
            KeySpace(),
            (client, consumer.client),
            (consumer.pubsub,),
            interval_s=interval_s,
            timeout_s=timeout_s,
        ) as heartbeat,
    ):
        yield Part(client, consumer, heartbeat)


def fits(*names: str) -> list[float]:
    return [HEALTHY.labels(name)._value.get() for name in names or ("beat", "beat-read", "beat-pubsub")]


async def test_ready_means_that_it_works(open_store, eventually) -> None:
    """Nothing is ready before the first beat; then everything, and it leaves nothing that stays."""
    async with open_store() as store, part(store.url) as p:
        assert "no heartbeat yet" in p.heartbeat.readiness() or "not connected" in p.heartbeat.readiness()
        await eventually(lambda: p.heartbeat.readiness() == "")
        assert fits() == [1, 1, 1]
        assert p.heartbeat.degradation() == ""

        keys = await store.client.execute("KEYS", "*")
        assert all(b":heartbeat:" in key for key in keys)
        assert all([await store.client.execute("PTTL", key) > 0 for key in keys])


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("-evalsha", "evalsha"),
        ("-xadd", "xadd"),
        ("-hmget", "hmget"),
        ("-xreadgroup", "xreadgroup"),
        ("-xinfo|stream", "xinfo stream"),
        ("-hgetall", "hgetall"),
        ("-xread", "xread"),
        ("-spublish", "spublish"),
        ("-ssubscribe", "ssubscribe"),
        ("resetkeys", "noperm"),
        ("resetchannels", "noperm"),
    ],
)
async def test_a_permission_that_is_missing(open_store, eventually, rule, names) -> None:
    """The process is not ready, by the server's words or the command's name, until the permission is back."""
    async with open_store() as store, part(store.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        await store.client.execute("ACL", "SETUSER", "default", rule)
        try:
            await eventually(lambda: names in p.heartbeat.readiness().lower())
            await eventually(lambda: 0 in fits())
            assert p.client.connected
        finally:
            await store.client.execute("ACL", "SETUSER", "default", "+@all", "~*", "&*")

        await eventually(lambda: p.heartbeat.readiness() == "")
        assert fits() == [1, 1, 1]


async def test_a_key_pattern_without_ours(open_store, eventually) -> None:
    """Keys of others only: not ready."""
    async with open_store() as store, part(store.url) as p:
        await store.client.execute("ACL", "SETUSER", "default", "resetkeys", "~other:*")
        try:
            await eventually(lambda: "NOPERM" in p.heartbeat.readiness())
        finally:
            await store.client.execute("ACL", "SETUSER", "default", "~*")
        await eventually(lambda: p.heartbeat.readiness() == "")


@pytest.mark.parametrize("command", ["EVALSHA", "HGETALL", "XREAD"])
async def test_a_command_that_a_proxy_does_not_pass_on(open_store, eventually, command) -> None:
    """Also one that the server would know."""
    async with open_store() as store, Resp(store.url) as redis, part(redis.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        redis.instead[command] = UNKNOWN
        await eventually(lambda: "unknown command" in p.heartbeat.readiness())
        redis.instead.clear()
        await eventually(lambda: p.heartbeat.readiness() == "")


@pytest.mark.parametrize("command", ["EVALSHA", "HGETALL", "XADD", "SPUBLISH"])
async def test_a_command_that_was_renamed(eventually, no_blocking: BlockBuster, command) -> None:
    """The server's own configuration can take a command away, inside of scripts as well."""
    no_blocking.deactivate()
    with workshop(need(distribution_binary(), "redis-server")) as start:
        server = start("primary", "--save", "", "--rename-command", command, "")
        no_blocking.activate()
        async with part(server.url) as p:
            await eventually(
                lambda: command in p.heartbeat.readiness() or "nknown" in p.heartbeat.readiness()
            )
            await eventually(lambda: p.client.connected)
        no_blocking.deactivate()


async def test_scripts_that_were_lost_and_sent_again(open_store, eventually) -> None:
    """A cache that is filled again by itself is no reason to be unready."""
    async with open_store() as store, part(store.url, interval_s=0.01) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        for _ in range(50):
            await store.client.execute("SCRIPT", "FLUSH")
            await asyncio.sleep(0)
            assert p.heartbeat.readiness() == ""


async def test_a_full_memory(open_store, eventually) -> None:
    """Nothing can be written: not ready, in the server's words."""
    async with open_store() as store, part(store.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        await store.client.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            await eventually(lambda: "OOM" in p.heartbeat.readiness())
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        await eventually(lambda: p.heartbeat.readiness() == "")


async def test_a_server_without_subscriptions(open_store, eventually) -> None:
    """A command that this kind of server lacks degrades and is logged; a refusal makes unready."""
    async with open_store() as store, Resp(store.url) as redis:
        redis.instead["SSUBSCRIBE"] = UNKNOWN
        async with part(redis.url) as p:
            await eventually(lambda: "unknown command" in p.heartbeat.degradation())
            await eventually(lambda: p.heartbeat.readiness() == "")
            assert fits("beat-pubsub") == [0]
        redis.instead["SSUBSCRIBE"] = NOPERM
        async with part(redis.url) as p:
            await eventually(lambda: "NOPERM" in p.heartbeat.readiness())
            assert p.heartbeat.degradation() == ""


async def test_messages_that_go_nowhere(open_store, eventually) -> None:
    """A subscription that is up and receives nothing is opened again, and is not ready until it receives."""
    async with open_store() as store, Resp(store.url) as redis, part(redis.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        before = RECONNECTS.labels("beat-pubsub")._value.get()
        redis.deaf = "relay-beat-pubsub"
        await eventually(lambda: "beat-pubsub: " in p.heartbeat.readiness())
        await eventually(lambda: RECONNECTS.labels("beat-pubsub")._value.get() > before)
        redis.deaf = None
        await eventually(lambda: p.heartbeat.readiness() == "")


async def test_idle_connections_are_kept(open_store, eventually) -> None:
    """A server that ends idle connections ends none of those that a heartbeat goes over."""
    async with open_store() as store:
        await store.client.execute("CONFIG", "SET", "timeout", "1")
        try:
            async with part(store.url, interval_s=0.3) as p:
                await eventually(lambda: p.heartbeat.readiness() == "")
                names = ("beat", "beat-read", "beat-pubsub")
                before = [RECONNECTS.labels(name)._value.get() for name in names]
                since = asyncio.get_running_loop().time()
                await eventually(lambda: asyncio.get_running_loop().time() - since > 3.5)
                assert [RECONNECTS.labels(name)._value.get() for name in names] == before
        finally:
            await store.client.execute("CONFIG", "SET", "timeout", "0")


# --- a server that was demoted and stays up ---------------------------------------------------------


@pytest.fixture
def two(no_blocking: BlockBuster):
    """A primary, and a server that will take over."""
    no_blocking.deactivate()
    with workshop(need(distribution_binary(), "redis-server")) as start:
        servers = start("primary", "--save", ""), start("primary", "--save", "")
        no_blocking.activate()
        yield servers
        no_blocking.deactivate()


async def clients(server: Process) -> set[str]:
    """The relay's connections at a server, by name."""
    lines = (await server.execute("CLIENT", "LIST")).splitlines()
    return {
        name
        for line in lines
        for word in line.split()
        if (name := word.removeprefix("name=")) != word and name
    }


@pytest.mark.parametrize("writable", ["yes", "no"])
async def test_every_connection_leaves_a_demoted_server(two, eventually, writable) -> None:
    """A planned fail-over by name: the name leads to the new primary, the old one stays up as its replica."""
    old, new = two
    async with Resp(old.url) as name, part(name.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        await old.execute("CONFIG", "SET", "replica-read-only", writable)
        await old.execute("REPLICAOF", "127.0.0.1", new.port)
        name.target = ("127.0.0.1", new.port)

        await eventually(
            lambda: clients(old), until=lambda names: not any(name.startswith("relay-") for name in names)
        )
        await eventually(lambda: p.heartbeat.readiness() == "")
        assert await clients(new) >= {"relay-beat", "relay-beat-read", "relay-beat-pubsub"}


async def test_no_connection_stays_while_the_name_is_old(two, eventually) -> None:
    """As long as the name leads to the demoted server the process is not ready, and logs the reason."""
    old, new = two
    async with Resp(old.url) as name, part(name.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        await old.execute("REPLICAOF", "127.0.0.1", new.port)
        await eventually(lambda: p.heartbeat.readiness().count("no primary") == 2)
        await eventually(lambda: "beat-pubsub: " in p.heartbeat.readiness())
        name.target = ("127.0.0.1", new.port)
        await eventually(lambda: p.heartbeat.readiness() == "")


async def test_only_the_subscription_stayed_behind(two, eventually) -> None:
    """It receives everything from the old server, which replicates, and connects to the new one."""
    old, new = two
    async with Resp(old.url) as name, part(name.url) as p:
        await eventually(lambda: p.heartbeat.readiness() == "")
        await old.execute("REPLICAOF", "127.0.0.1", new.port)
        name.target = ("127.0.0.1", new.port)
        for line in (await old.execute("CLIENT", "LIST", "TYPE", "normal")).splitlines():
            facts = dict(fact.split("=", 1) for fact in line.split())
            if facts["name"].startswith("relay-"):
                await old.execute("CLIENT", "KILL", "ID", facts["id"])

        await eventually(lambda: clients(new), until=lambda names: "relay-beat-pubsub" in names)
        await eventually(lambda: p.heartbeat.readiness() == "")
