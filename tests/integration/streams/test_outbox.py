"""The outbox: entries are read by one consumer of a group, and consumed once, with what follows from them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.rigs.need import need
from tests.rigs.redis_topologies import ClusterTopology, cluster_topology
from tests.rigs.store import Store

from relay_redis.client import RedisClient
from relay_redis.local_server import distribution_binary
from relay_streams import conversations
from relay_streams.keys import KeySpace, PartitionKeys
from relay_streams.outbox import FAILURES, OutboxConsumer, OutboxEvent, Write
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.call import run
from relay_streams.scripts.consume_outbox import CONSUME_OUTBOX
from relay_streams.scripts.record_motion import record_motion
from relay_turns.effects import Publish
from relay_wire.frame import Kind

PARTITION = 3


async def append(store: Store, conversation: str = "c", partition: int = PARTITION, **fields: str) -> str:
    """One entry; returns its event id."""
    event = f"{conversation}.0-0"
    fields = {"id": event, "n": "1", "k": "conversation.started", "c": conversation, "d": "{}", **fields}
    flat = [part for field in fields.items() for part in field]
    await store.client.execute("XADD", store.keys.shared(partition).outbox, "*", *flat)
    return event


def consumer(store: Store, name: str = "one", **options: int) -> OutboxConsumer:
    return OutboxConsumer(store.client, store.keys, consumer=name, **options)


def writes(keys: PartitionKeys) -> list[Write]:
    """One of each command."""
    record = f"{keys.tagged_prefix}:c:x:meta"
    return [
        Write("HSET", record, ("a", 1, "b", "two")),
        Write("HSETNX", record, ("a", 7)),
        Write("HINCRBY", record, ("a", 2)),
        Write("HINCRBY", record, ("b", 5)),
        Write("ZADD", keys.leases, (5, "first", 6, "second")),
        Write("SADD", keys.made("key"), ("x", "y")),
        Write("PEXPIRE", record, (60_000,)),
    ]


async def assert_written(store: Store, keys: PartitionKeys, at: int = 3) -> None:
    record = f"{keys.tagged_prefix}:c:x:meta"
    assert await store.client.execute("HGETALL", record) == [b"a", b"%d" % at, b"b", b"5"]
    assert await store.client.execute("ZRANGE", keys.leases, 0, -1) == [b"first", b"second"]
    assert await store.client.execute("SCARD", keys.made("key")) == 2
    assert await store.client.execute("PTTL", record) > 0


async def test_entries_of_all_partitions(open_store) -> None:
    """Each is read by one consumer, those of a partition in their order; without any there are none."""
    async with open_store() as store:
        one, two = consumer(store), consumer(store, "two")
        assert await one.read() == []
        expected = {await append(store, f"c{index}", index % 2) for index in range(6)}

        events = [*await one.read(), *await two.read()]

        assert {event.id for event in events} == expected
        assert [event.conversation for event in events if event.partition == 0] == ["c0", "c2", "c4"]
        assert await one.read() == []


async def test_consuming_writes_once(open_store) -> None:
    """The entry is removed and everything is written; a second call, of any consumer, writes nothing."""
    async with open_store() as store:
        shared = store.keys.shared(PARTITION)
        await append(store)
        [event] = await consumer(store).read()

        assert await consumer(store).consume(event, writes(shared))
        await assert_written(store, shared)
        assert not await consumer(store, "two").consume(event, writes(shared))
        await assert_written(store, shared)
        assert await store.client.execute("XLEN", shared.outbox) == 0
        assert await store.client.execute("XPENDING", shared.outbox, "jobs") == [0, None, None, None]


async def test_many_consumers_of_one_entry(open_store) -> None:
    """One call of many at once writes."""
    async with open_store() as store:
        shared = store.keys.shared(PARTITION)
        await append(store)
        [event] = await consumer(store).read()
        counted = [Write("HINCRBY", f"{shared.tagged_prefix}:c:x:meta", ("a", 1))]

        done = await asyncio.gather(*(consumer(store, str(n)).consume(event, counted) for n in range(10)))

        assert sorted(done) == [False] * 9 + [True]
        assert await store.client.execute("HGET", counted[0].key, "a") == b"1"


async def test_entries_of_a_dead_consumer(open_store) -> None:
    """Another reads them after the idle time, and not before."""
    async with open_store() as store:
        event = await append(store)
        assert [read.id for read in await consumer(store, "dead").read()] == [event]

        assert await consumer(store, reclaim_ms=60_000).read() == []
        assert [read.id for read in await consumer(store, reclaim_ms=0).read()] == [event]


async def test_a_key_of_another_type(open_store) -> None:
    """A foreign key in the way of a write is deleted; the entry is consumed, and nothing of it is missing."""
    async with open_store() as store:
        shared = store.keys.shared(PARTITION)
        await append(store)
        [event] = await consumer(store).read()
        await store.client.execute("SET", shared.leases, "foreign")

        assert await consumer(store).consume(event, writes(shared))
        await assert_written(store, shared)


async def test_damaged_entries(open_store) -> None:
    """They are counted and removed, and hold up no other."""
    async with open_store() as store:
        before = FAILURES.labels("damaged")._value.get()
        await append(store, n="many")
        await store.client.execute("XADD", store.keys.shared(PARTITION).outbox, "*", "other", "program")
        event = await append(store)

        assert [read.id for read in await consumer(store).read()] == [event]
        assert FAILURES.labels("damaged")._value.get() == before + 2
        assert await store.client.execute("XLEN", store.keys.shared(PARTITION).outbox) == 1


async def test_a_command_that_is_not_allowed(open_store) -> None:
    """The script refuses it, too, and leaves the entry."""
    async with open_store() as store:
        shared = store.keys.shared(PARTITION)
        await append(store)
        [event] = await consumer(store).read()
        arguments = ("jobs", event.entry_id, "DEL", 0)

        with pytest.raises(Exception, match="not allowed"):
            await store.client.run_script(CONSUME_OUTBOX, (shared.outbox, shared.leases), *arguments)
        assert await consumer(store).consume(event)


async def test_a_full_server(open_store) -> None:
    """Entries can be consumed while Redis has no memory left."""
    async with open_store() as store:
        shared = store.keys.shared(PARTITION)
        await append(store)
        [event] = await consumer(store).read()
        await store.client.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            assert await consumer(store).consume(event, writes(shared))
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        await assert_written(store, shared)


async def test_the_state(open_store) -> None:
    """What waits in all partitions, since when, and what the bounds have discarded."""
    async with open_store() as store:
        one = consumer(store)
        assert await one.state() == (0, 0, 0)
        for partition in (1, 2):
            await append(store, partition=partition)
            await store.client.execute("SET", store.keys.shared(partition).outbox_discarded, "4")
        await store.client.execute("SET", store.keys.shared(5).outbox_discarded, "damaged")
        [first, _] = sorted(await one.read(), key=lambda event: event.at_ms)

        assert await one.state() == (2, first.at_ms, 8)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterTopology]:
    with cluster_topology(need(distribution_binary(), "redis-server")) as topology:
        yield topology


@pytest.fixture
def open_cluster(cluster: ClusterTopology) -> Callable[[], object]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        async with RedisClient(cluster.url, SCHEMA, name="test", timeout_s=5) as client:
            yield Store(cluster.url, client)

    return opened


async def test_events_on_a_cluster(open_cluster) -> None:
    """They are appended where their conversation is: from its start on, with frames, sessions and viewers."""
    async with open_cluster() as store, Publisher(store.url, outbox_entries=100) as publisher:
        store.keys = KeySpace(prefix="events")
        one = consumer(store)
        for _ in range(4):
            keys = await store.create(outbox_entries=100)
            lease = await store.claim(keys)
            writer = store.writer(publisher, lease)
            writer.append([Publish(Kind.AUDIO, 1, b"x", 0)], checkpoint=b"{}", events=[(0, "a", b"{}")])
            await writer.drained()
            opened = record_motion(
                keys, "opened", generation=lease.generation, session="s", opened_ms=1, data=b"{}",
                outbox_entries=100,
            )  # fmt: skip
            assert await run(store.client, opened)
            await conversations.attendance(store.client, keys, watched_ms=5, outbox_entries=100)
            await store.client.execute("HSET", keys.meta, "state", "ended")
            await conversations.attendance(store.client, keys, watched_ms=5, outbox_entries=100)

            events = await one.read()

            assert [(event.type, event.order, event.viewer_ms) for event in events] == [
                ("conversation.started", 1, 0), ("a", 2, 0), ("motion.opened", 0, 0),
                ("viewers.watched", 0, 10),
            ]  # fmt: skip
            for event in events:
                assert await one.consume(event)


async def test_a_cluster(open_cluster) -> None:
    """Entries of partitions on all servers are read, and consumed with their writes."""
    async with open_cluster() as store:
        for partition in range(store.keys.partitions):
            await append(store, partition=partition)
        one = consumer(store)

        events: list[OutboxEvent] = await one.read()

        assert len({event.partition for event in events}) == store.keys.partitions
        for event in events:
            shared = store.keys.shared(event.partition)
            assert await one.consume(event, writes(shared))
            await assert_written(store, shared)
        assert (await one.state()).waiting == 0
