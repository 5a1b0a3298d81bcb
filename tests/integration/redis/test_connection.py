"""Unexpected replies of Redis, or of a proxy: no caller gets another's reply, and no process ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.proxy import Proxy
from tests.rigs.resp import Resp

from relay_redis.client import RedisClient
from relay_redis.errors import Refused, Unavailable, Unencodable
from relay_redis.metrics import VIOLATIONS
from relay_redis.pubsub import PubSub
from relay_streams.consumer import StreamConsumer
from relay_streams.conversations import read
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.append_speech import APPEND_SPEECH
from relay_streams.scripts.call import run
from relay_streams.scripts.claim import claim
from relay_streams.scripts.expire import expire
from relay_streams.scripts.renew import Held, renew
from relay_streams.uplink import Uplink
from relay_turns.effects import Publish
from relay_wire import uplink
from relay_wire.frame import Kind

UNEXPECTED = [
    b"+OK\r\n",
    b"-ERR idle\r\n",
    b"$-1\r\n",
    b":1\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"$3\r\nfoo\r\n",
    b"*2\r\n$8\r\nsmessage\r\n$1\r\nx\r\n",
    b"*3\r\n$8\r\nsmessage\r\n:1\r\n*0\r\n",
    b"*3\r\n$10\r\nssubscribe\r\n$1\r\nx\r\n:1\r\n",
    b">2\r\n+invalidate\r\n*0\r\n",
    b"%1\r\n+a\r\n:1\r\n",
    b"_\r\n",
    b"-MOVED 1 :1\r\n",
    b"-MOVED\r\n",
    b"garbage\r\n",
]


def count(counter, *labels: str) -> float:
    return float(counter.labels(*labels)._value.get())


def motion() -> Publish:
    return Publish(Kind.MOTION, 1, b"motion", 0)


@pytest.mark.parametrize("reply", UNEXPECTED)
async def test_a_reply_without_a_command(open_store, eventually, reply) -> None:
    """It ends the connection, of commands and of messages alike, and is counted; both come back."""
    received: list[bytes] = []
    async with (
        open_store() as store,
        Resp(store.url) as redis,
        RedisClient(redis.url, SCHEMA, name="unexpected") as client,
        PubSub(redis.url, lambda stream, _: received.append(stream), name="unexpected-sub") as pubsub,
    ):
        pubsub.subscribe("stream")
        await client.ready()
        await eventually(lambda: received == [b"stream"])
        before = [count(VIOLATIONS, name, "protocol") for name in ("unexpected", "unexpected-sub")]

        assert redis.send(reply, "relay-unexpected") == 2

        await eventually(
            lambda: (
                before
                == [count(VIOLATIONS, name, "protocol") - 1 for name in ("unexpected", "unexpected-sub")]
            )
        )
        await eventually(lambda: len(received) == 2)
        assert await client.execute("ECHO", "mine") == b"mine"


async def test_a_greeting_without_a_command(open_store, eventually) -> None:
    """One that comes before everything else lets no connection stand with replies out of step."""
    async with (
        open_store() as store,
        Resp(store.url) as redis,
        RedisClient(redis.url, SCHEMA, name="greeted", timeout_s=0.2) as client,
    ):
        redis.greeting = b"+OK\r\n"
        redis.send(b"+OK\r\n")
        for _ in range(5):
            with suppress(Unavailable):
                assert await client.execute("ECHO", "mine") == b"mine"
        redis.greeting = b""
        await client.ready()

        assert await client.execute("ECHO", "mine") == b"mine"


@pytest.mark.parametrize(
    "value", ["nil", "1", "{}", "{'ok'}", "{'ok', 'x'}", "{{}}", "redis.status_reply('OK')"]
)
async def test_replies_of_another_shape(open_store, value) -> None:
    """A reply that its command cannot have is Unavailable, and the client reconnects."""
    async with (
        open_store() as store,
        Resp(store.url) as redis,
        RedisClient(redis.url, SCHEMA, name="shapes", timeout_s=5) as client,
    ):
        keys = await store.create()
        await client.ready()
        before = count(VIOLATIONS, "shapes", "protocol")
        redis.instead |= {"EVALSHA": value, "HGETALL": "{'odd'}" if value != "nil" else "1"}
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(Uplink(client).append, keys, uplink.Interrupt(reason="user")),
            partial(read, client, keys),
            partial(run, client, claim(keys, owner="x", lease_ms=1, record_format=1)),
            partial(client.run_script, APPEND_SPEECH, (keys.meta,), "x"),
            partial(run, client, renew([Held(keys, "x", 1)], lease_ms=1)),
        ]
        for call in calls:
            with pytest.raises(Unavailable, match=r"another command's|broke"):
                await call()
            assert await client.execute("PING") == b"PONG"

        assert count(VIOLATIONS, "shapes", "protocol") == before + len(calls)
        redis.instead.clear()
        await Uplink(client).append(keys, uplink.Interrupt(reason="user"))


async def test_reads_of_another_shape(open_store, eventually) -> None:
    """A reader reads on when its reads are answered with replies again."""
    entries: list[object] = []
    async with (
        open_store() as store,
        Resp(store.url) as redis,
        StreamConsumer(redis.url, name="odd", sweep_s=0.1) as consumer,
    ):
        for value in ("1", "{}", "{{'s'}}", "{{'s', {{'1-1'}}}}", "{{'other', {{'1-1', {'a', 'b'}}}}}"):
            redis.instead["XREAD"] = value
            stream = f"relay:{{p00}}:c:{value}:down"
            await store.client.execute("XADD", stream, "1-1", "a", "b")
            following = consumer.subscribe(stream, 0, "0-0", entries.extend, entries.append)
            reads = redis.commands.count("XREAD")
            await eventually(lambda reads=reads: redis.commands.count("XREAD") > reads + 1)
            assert entries == []
            redis.instead.clear()
            await eventually(lambda: entries)
            assert entries == [(b"1-1", [b"a", b"b"])]
            entries.clear()
            following.close()


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
@pytest.mark.parametrize("value", ["nil", "1", "{}", "{'x'}", "{1, 2, 3}", "{{0, 99999, {'h', 1}}}", "'x'"])
async def test_a_map_of_another_shape(open_store, eventually, topology, value) -> None:
    """Sentinels and nodes that reply without an address are queried again until one has it."""
    async with open_store() as store, Resp(store.url) as redis:
        url = f"redis+{topology}://127.0.0.1:{redis.port}" + ("/relay" if topology == "sentinel" else "")
        redis.instead |= {"SENTINEL": value, "CLUSTER": value}
        asked = "SENTINEL" if topology == "sentinel" else "CLUSTER"
        async with RedisClient(url, SCHEMA, name="odd", timeout_s=0.3) as client:
            await eventually(lambda: redis.commands.count(asked) > 2)
            with pytest.raises(Unavailable):
                await client.execute("GET", "k")


@pytest.mark.parametrize("value", ["1", "{}", "{1}", "{'slave', 'h', 1}", "'master'"])
async def test_a_role_of_another_shape(open_store, value) -> None:
    """No connection stands to what is no primary."""
    async with open_store() as store, Resp(store.url) as redis:
        redis.instead["ROLE"] = value
        async with RedisClient(redis.url, SCHEMA, name="odd", timeout_s=0.2) as client:
            with pytest.raises(Unavailable):
                await client.execute("PING")
            assert not client.connected


async def test_a_callback_that_fails(open_store) -> None:
    """A defect of ours while a reply is handed over ends that connection, and is counted."""

    def fail(_stream: bytes, _payload: bytes) -> None:
        raise KeyError("a defect")

    async with open_store() as store, PubSub(store.url, fail, name="defect") as pubsub:
        before = count(VIOLATIONS, "defect", "defect")
        pubsub.subscribe("stream")
        await eventually(lambda: count(VIOLATIONS, "defect", "defect") >= before + 2)


# --- commands that cannot be written ----------------------------------------------------------------


@pytest.mark.parametrize("argument", ["\udcff", "a\ud800", None, [1], True, object()])
async def test_a_command_that_cannot_be_written(open_store, argument) -> None:
    """It fails alone, and at once; what is sent with it gets its own replies."""
    async with open_store() as store:
        before = count(VIOLATIONS, "test", "defect")
        replies = await asyncio.gather(
            store.client.execute("ECHO", "a"),
            store.client.execute("ECHO", argument),
            run(store.client, expire(store.keys.shared(0), limit=argument)),
            store.client.execute("ECHO", "b"),
            return_exceptions=True,
        )

        assert [replies[0], replies[3]] == [b"a", b"b"]
        assert isinstance(replies[1], Unencodable)
        assert isinstance(replies[2], Unencodable | Refused)
        assert await store.client.execute("ECHO", "c") == b"c"
        assert count(VIOLATIONS, "test", "defect") == before


async def test_commands_that_cannot_be_written_while_nothing_stands(open_store) -> None:
    """They fail by themselves as well when the connection comes: those that wait with them are sent."""
    async with open_store() as store:
        port = int(store.url.split(":")[2].split("/")[0])
        async with (
            Proxy("127.0.0.1", port) as proxy,
            RedisClient(proxy.url, SCHEMA, name="down", timeout_s=5) as client,
        ):
            await proxy.set_mode("refuse")
            waiting = [client.submit(("ECHO", text)) for text in ("a", "\udcff", "b")]
            await proxy.set_mode("pass")
            replies = await asyncio.gather(*waiting, return_exceptions=True)

    assert [replies[0], replies[2]] == [b"a", b"b"]
    assert isinstance(replies[1], Unencodable)


async def test_a_channel_that_cannot_be_written(open_store, eventually) -> None:
    """Subscribing raises for it; the other channels stay subscribed."""
    received: list[bytes] = []
    async with (
        open_store() as store,
        PubSub(store.url, lambda stream, _: received.append(stream), name="odd") as pubsub,
    ):
        with pytest.raises(Unencodable):
            pubsub.subscribe("\udcff")
        pubsub.subscribe("stream")
        await eventually(lambda: received == [b"stream"])
        await store.cut("odd")
        await eventually(lambda: received == [b"stream", b"stream"])


async def test_subscriptions_come_back_with_the_permission(open_store, eventually) -> None:
    """At a server that refuses, one channel is tried at each ping, and all of them once it succeeds."""
    received: list[bytes] = []
    async with open_store() as store, Resp(store.url) as redis:
        redis.instead["SSUBSCRIBE"] = "redis.error_reply('NOPERM no')"
        async with PubSub(redis.url, lambda s, _: received.append(s), name="later", ping_s=0.05) as pubsub:
            for stream in ("a", "b", "c"):
                pubsub.subscribe(stream)
            await eventually(lambda: pubsub.refusal)
            assert pubsub.refusal.reason == "NOPERM"
            redis.instead.clear()
            await eventually(lambda: {b"a", b"b", b"c"} <= set(received))
            assert pubsub.refusal is None


# --- refusals that are no fence ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "ERR The user executing the script can't run this command script: x, on @user_script:36.",
        "ERR unknown command 'EVALSHA', with args beginning with: 'planted'",
        "ERR Unknown Redis command called from script script: x, on @user_script:36.",
        "ERR unsupported command",
        "ERR upstream failure",
        "DENIED by policy",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "BUSY Redis is busy running a script.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Redis is configured to save RDB snapshots",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "NOAUTH Authentication required.",
    ],
)
async def test_a_refusal_is_no_fence(open_store, eventually, words) -> None:
    """A refused writer keeps its generation and retries; callers get Unavailable with the server's text."""
    async with open_store() as store, Resp(store.url) as redis, Publisher(redis.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        await publisher.client.ready()
        redis.instead["EVALSHA"] = f"redis.error_reply({words!r})"
        writer.append([motion()], checkpoint=b"{}")
        await eventually(lambda: redis.commands.count("EVALSHA") > 2)
        with pytest.raises(Unavailable) as refused:
            await run(publisher.client, expire(store.keys.shared(0), limit=1))
        assert words.split(",")[0] in str(refused.value) or "broke" in str(refused.value)
        assert "planted" not in str(refused.value)
        redis.instead.clear()
        await writer.drained()

        assert len(await store.entries(lease.keys.down)) == 1
        assert store.lost == []


@pytest.mark.parametrize("name", ["meta", "lease", "leases", "down", "up"])
async def test_a_key_of_another_type_is_a_loss(open_store, name: str) -> None:
    """Restored like any other loss: the owner keeps its generation, and so does its neighbour."""
    async with open_store() as store, Publisher(store.url) as publisher:
        leases = [await store.claim(await store.create()) for _ in range(2)]
        writers = [store.writer(publisher, lease) for lease in leases]
        key = getattr(leases[0].keys, name)
        await store.client.execute("DEL", key)
        await store.client.execute("SADD", key, "something else")
        for writer in writers:
            writer.append([motion()], checkpoint=b"{}", uplink_cursor="1-0")
        for writer in writers:
            await writer.drained()

        assert not any(await store.registry().renew(leases))
        assert [len(await store.entries(lease.keys.down)) for lease in leases] == [1, 1]
        assert store.lost == []


@pytest.mark.parametrize("index", ["unowned", "made"])
async def test_an_index_of_another_type_stops_nothing(open_store, index: str) -> None:
    """What is created, swept and given up after it is offered."""
    async with open_store() as store:
        keys = await store.create(creator="somebody")
        key = keys.unowned if index == "unowned" else keys.made("somebody")
        await store.client.execute("DEL", key)
        await store.client.execute("SET", key, "something else")
        second = next(
            one for one in [await store.create(creator="somebody") for _ in range(60)]
            if one.partition == keys.partition
        )  # fmt: skip
        offers = await store.registry().dequeue(store.keys.shared(keys.partition), 100)

        assert second.id in {offer.conversation for offer in offers}


async def test_a_lease_is_kept_without_the_permission(open_store) -> None:
    """Renewing is refused, and succeeds when the permission is back: nothing was lost in between."""
    async with open_store() as store:
        lease = await store.claim(await store.create())
        await store.client.execute("ACL", "SETUSER", "default", "-set")
        try:
            renewal = await store.registry().renew([lease])
        finally:
            await store.client.execute("ACL", "SETUSER", "default", "+set")

        assert (renewal.lost, renewal.gone) == ([], [])
        [failure] = renewal.failures
        assert isinstance(failure, Unavailable)
        assert not any(await store.registry().renew([lease]))
