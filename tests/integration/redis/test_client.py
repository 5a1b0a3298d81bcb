"""The client: pipelining, reconnecting, refusals, limits; on every server."""

import asyncio

import pytest
from tests.rigs.proxy import Proxy

from relay_redis.client import RedisClient
from relay_redis.errors import Refused, Unavailable
from relay_redis.metrics import RECONNECTS
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.call import run
from relay_streams.scripts.expire import Queue, expire


async def test_replies_come_in_order(open_store) -> None:
    """Concurrent callers get their own replies."""
    async with open_store() as store:
        replies = await asyncio.gather(*(store.client.execute("ECHO", str(n)) for n in range(500)))

    assert replies == [str(n).encode() for n in range(500)]


async def test_a_tick_is_one_write(open_store) -> None:
    """Commands of one tick reach the server in one read: the server counts its reads."""
    async with open_store() as store:

        async def reads() -> int:
            info = (await store.client.execute("INFO", "stats")).decode()
            return int(
                next(n for n in info.splitlines() if n.startswith("total_reads_processed")).split(":")[1]
            )

        before = await reads()
        await asyncio.gather(*(store.client.execute("PING") for _ in range(100)))
        after = await reads()

    assert after - before <= 3


async def test_refusals_are_not_retryable(open_store) -> None:
    """A command that cannot succeed on this data is Refused, and the client stays connected."""
    async with open_store() as store:
        await store.client.execute("SET", "k", "v")
        with pytest.raises(Refused, match="WRONGTYPE") as refused:
            await store.client.execute("XADD", "k", "*", "a", "b")
        assert await store.client.execute("PING") == b"PONG"

    assert not refused.value.retryable


async def test_a_full_memory_is_retryable(open_store) -> None:
    """OOM passes when memory is free again."""
    async with open_store() as store:
        await store.client.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(Unavailable) as refused:
                await store.client.execute("SET", "k", "v")
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        await store.client.execute("SET", "k", "v")

    assert refused.value.retryable


async def test_it_comes_back(open_store, eventually) -> None:
    """A broken connection is opened again; what waits then goes out."""
    async with open_store() as store, RedisClient(store.url, SCHEMA, name="victim") as victim:
        await victim.ready()
        await store.cut("victim")
        await eventually(lambda: not victim.connected)

        assert await victim.execute("PING") == b"PONG"
        assert victim.connected


async def test_what_was_under_way_fails_as_unknown(open_store) -> None:
    """A reply that never comes is Unavailable: the command may have been applied."""
    async with open_store() as store, RedisClient(store.url, SCHEMA, name="victim") as victim:
        await victim.ready()
        await store.client.execute("CLIENT", "PAUSE", "500", "WRITE")
        waiting = victim.submit(("SET", "k", "v"))
        await store.cut("victim")

        with pytest.raises(Unavailable, match="broke"):
            await waiting
        await store.client.execute("CLIENT", "UNPAUSE")
        assert await victim.execute("PING") == b"PONG"


async def test_no_reply_in_time(open_store) -> None:
    """A server that hangs is Unavailable within the timeout."""
    async with (
        open_store() as store,
        RedisClient(store.url, SCHEMA, name="impatient", timeout_s=0.1) as client,
    ):
        await client.ready()
        await store.client.execute("CLIENT", "PAUSE", "400", "ALL")
        with pytest.raises(Unavailable):
            await client.execute("PING")


async def test_cancelling_leaves_the_others_alone(open_store) -> None:
    """A cancelled caller does not shift the replies of others."""
    async with open_store() as store:
        given_up = asyncio.create_task(store.client.execute("ECHO", "a"))
        await asyncio.sleep(0)
        kept = asyncio.create_task(store.client.execute("ECHO", "b"))
        await asyncio.sleep(0)
        given_up.cancel()

        assert await kept == b"b"
        assert await store.client.execute("ECHO", "c") == b"c"


async def test_it_does_not_queue_without_end(open_store) -> None:
    """At the limit a command is refused at once."""
    async with (
        open_store() as store,
        RedisClient(store.url, SCHEMA, name="small", max_waiting=3) as client,
    ):
        futures = [client.submit(("PING",)) for _ in range(3)]
        with pytest.raises(Unavailable, match="already wait"):
            client.submit(("PING",))
        assert await asyncio.gather(*futures) == [b"PONG"] * 3


async def test_an_unreachable_server() -> None:
    """An unreachable server is Unavailable within the timeout, and the client keeps reconnecting."""
    async with RedisClient("redis://127.0.0.1:1/0", SCHEMA, name="unreachable", timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.execute("PING")
        assert not client.connected


async def test_scripts_that_the_server_lost(open_store) -> None:
    """SCRIPT FLUSH does no harm."""
    async with open_store() as store:
        await store.client.execute("SCRIPT", "FLUSH")

        assert await run(store.client, expire(store.keys.shared(0), limit=10)) == Queue(0, 0, 0)


async def test_other_schemes_are_refused() -> None:
    """A URL that is no Redis URL is named."""
    with pytest.raises(ValueError, match="must begin with redis://"):
        RedisClient("http://127.0.0.1", SCHEMA, name="x")


async def test_leaving_at_any_moment(open_store) -> None:
    """A client that is closed while it connects is closed: no cancellation is lost."""
    async with open_store() as store:
        for steps in range(40):
            async with asyncio.timeout(5), RedisClient(store.url, SCHEMA, name="brief"):
                for _ in range(steps):
                    await asyncio.sleep(0)


async def test_a_server_that_became_a_replica(open_store, eventually) -> None:
    """READONLY is Unavailable and ends the connection; none stands until a primary is there."""
    async with open_store() as store, RedisClient(store.url, SCHEMA, name="demoted") as client:
        connected: list[bool] = []
        client.on_connect(lambda: connected.append(client.connected))
        await client.ready()
        await store.client.execute("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(Unavailable, match="read only"):
                await client.execute("SET", "k", "v")
            with pytest.raises(Unavailable, match="no primary"):
                await client.execute("SET", "k", "v")
            assert not client.connected
        finally:
            await store.client.execute("REPLICAOF", "NO", "ONE")

        await client.ready()
        await client.execute("SET", "k", "v")
    assert connected == [True, True]


async def test_a_black_hole(open_store, eventually) -> None:
    """A silent connection is closed after the timeout; commands that wait are sent on the next one."""
    async with open_store() as store:
        port = int(store.url.split(":")[2].split("/")[0])
        async with (
            Proxy("127.0.0.1", port) as proxy,
            RedisClient(proxy.url, SCHEMA, name="lost", timeout_s=0.2) as client,
        ):
            await client.ready()
            await proxy.set_mode("black hole")
            lost = client.submit(("PING",))
            with pytest.raises(Unavailable, match="broke"):
                await lost
            assert not client.connected
            assert client.connected_for_s == 0
            waiting = client.submit(("PING",))
            await proxy.set_mode("pass")

            assert await waiting == b"PONG"
            await eventually(lambda: client.connected_for_s > 0)
            assert proxy.accepted > 1


@pytest.mark.parametrize("mode", ["reset", "refuse"])
async def test_resets_and_refusals(open_store, eventually, mode) -> None:
    """The client is disconnected at once, and reconnects when the server is reachable."""
    async with open_store() as store:
        port = int(store.url.split(":")[2].split("/")[0])
        async with (
            Proxy("127.0.0.1", port) as proxy,
            RedisClient(proxy.url, SCHEMA, name="lost") as client,
        ):
            await client.ready()
            await proxy.set_mode(mode)
            await eventually(lambda: not client.connected)
            await proxy.set_mode("pass")

            assert await client.execute("PING") == b"PONG"


async def test_a_server_that_is_no_cluster(open_store) -> None:
    """A Cluster URL of one server is Unavailable, with the reason."""
    async with open_store() as store:
        url = store.url.replace("redis://", "redis+cluster://")
        async with RedisClient(url, SCHEMA, name="none", timeout_s=0.2) as client:
            with pytest.raises(Unavailable, match="cluster support disabled"):
                await client.execute("GET", "k")


async def test_a_connection_that_breaks_again_and_again_is_one_line(open_store, eventually, capsys) -> None:
    """The lines that follow closely are suppressed; the counter has them all."""
    async with open_store() as store:
        port = int(store.url.split(":")[2].split("/")[0])
        async with (
            Proxy("127.0.0.1", port) as proxy,
            RedisClient(proxy.url, SCHEMA, name="flapping") as client,
        ):
            before = RECONNECTS.labels("flapping")._value.get()
            for _ in range(5):
                assert await client.execute("PING") == b"PONG"
                proxy.reset()
                await eventually(lambda: not client.connected)

            assert RECONNECTS.labels("flapping")._value.get() == before + 5
    assert capsys.readouterr().out.count("redis connection lost") == 1
