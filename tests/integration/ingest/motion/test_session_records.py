"""Records of an owner's Motion sessions: complete and in order also when Redis is away for a while."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.proxy import Proxy
from tests.rigs.redis_server import Server
from tests.rigs.store import Store

from relay_ingest.motion.session_records import LOST, MAX_RECORDS, SessionRecords
from relay_redis.client import RedisClient
from relay_streams.leases import Lease
from relay_streams.outbox import OutboxConsumer
from relay_streams.scripts import SCHEMA

Opened = Callable[..., AbstractAsyncContextManager[tuple[SessionRecords, Proxy, Store, Lease]]]


@pytest.fixture
def opened(open_store, redis_server: Server) -> Opened:
    """``async with opened() as (records, proxy, store, lease)``: they reach Redis through the proxy."""

    @asynccontextmanager
    async def made(
        *, outbox_entries: int = 1000
    ) -> AsyncIterator[tuple[SessionRecords, Proxy, Store, Lease]]:
        async with (
            open_store() as store,
            Proxy("127.0.0.1", redis_server.port) as proxy,
            RedisClient(proxy.url, SCHEMA, name="test", timeout_s=0.2) as client,
            asyncio.TaskGroup() as tasks,
        ):
            await client.ready()
            lease = await store.claim(await store.create())
            records = SessionRecords(
                lease, client=client, spawn=tasks.create_task, outbox_entries=outbox_entries
            )
            records.start()
            yield records, proxy, store, lease
            records.stop()
            await records.drained()

    return made


async def recorded(store: Store) -> list[tuple[str, str]]:
    """Type and session, in order."""
    consumer = OutboxConsumer(store.client, store.keys, consumer="test", limit=1000, reclaim_ms=0)
    return [(event.type, json.loads(event.data)["session"]) for event in await consumer.read()]


async def test_redis_is_away(opened: Opened) -> None:
    """What happens meanwhile is recorded once Redis is back, in its order."""
    async with opened() as (records, proxy, store, _):
        await proxy.set_mode("refuse")
        now = asyncio.get_running_loop().time()
        records.opened("one", now)
        records.closed()
        records.closed()
        records.opened("two", now)
        await proxy.set_mode("pass")
        await records.drained()

        assert await recorded(store) == [
            ("motion.opened", "one"), ("motion.closed", "one"), ("motion.opened", "two"),
        ]  # fmt: skip


async def test_too_much_happens_while_redis_is_away(opened: Opened) -> None:
    """The oldest records are lost and counted."""
    before = LOST._value.get()
    async with opened() as (records, _, store, _):
        for number in range(MAX_RECORDS + 3):
            records.opened(str(number), 0.0)
        await records.drained()

        assert LOST._value.get() == before + 3
        assert await recorded(store) == [("motion.opened", str(n)) for n in range(3, MAX_RECORDS + 3)]


async def test_a_record_that_is_gone(opened: Opened) -> None:
    """It is counted, and what follows is recorded."""
    before = LOST._value.get()
    async with opened() as (records, _, store, lease):
        dump = await store.client.execute("DUMP", lease.keys.meta)
        await store.client.execute("DEL", lease.keys.meta)
        records.opened("one", 0.0)
        await records.drained()
        assert LOST._value.get() == before + 1
        await store.client.execute("RESTORE", lease.keys.meta, 0, dump)
        records.closed()
        await eventually(lambda: recorded(store), until=lambda found: found == [("motion.closed", "one")])


async def test_without_jobs(opened: Opened) -> None:
    """Nothing is recorded."""
    async with opened(outbox_entries=0) as (records, _, store, _):
        records.opened("one", 0.0)
        records.closed()
        await records.drained()
        assert await recorded(store) == []
