"""Ownership: claims, leases, the queue, take-over; on every server."""

import asyncio

from tests.rigs.replication import replicate

from relay_redis.client import RedisClient
from relay_streams.conversations import read
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.leases import Leases
from relay_streams.scripts import SCHEMA


async def offers_of(store, keys, owner: str = "worker", **options: int) -> list[str]:
    offers = await store.registry(owner, **options).dequeue(store.keys.shared(keys.partition), 10)
    return [offer.conversation for offer in offers]


async def test_a_new_conversation_is_on_offer(open_store) -> None:
    """Created, dequeued, claimed: with a generation, and the record it begins from."""
    async with open_store() as store:
        keys = await store.create(sample_rate=24000)

        lease = await store.claim(keys)

        record = await read(store.client, keys)
        assert lease.value == f"worker {lease.generation}"
        assert (record.owner, record.generation, record.first_generation) == (
            "worker",
            lease.generation,
            lease.generation,
        )
        assert lease.conversation == record
        assert record.sample_rate == 24000
        assert await store.client.execute("GET", keys.lease) == lease.value.encode()
        assert await offers_of(store, keys) == []


async def test_an_id_is_created_once(open_store) -> None:
    """Repeating a create changes nothing and puts nothing up twice."""
    from relay_streams import conversations
    from relay_wire.frame import Codec

    async with open_store() as store:
        keys = await store.create()
        record = conversations.Conversation(keys.id, "open", "other", 8000, Codec.PCM_S16LE, created_ms=2)
        again = await conversations.create(store.client, keys, record)

        assert not again
        assert (await read(store.client, keys)).avatar_id == "ava"
        assert await offers_of(store, keys) == [keys.id]


async def test_only_one_owner(open_store) -> None:
    """While the lease holds, another offer of the same conversation leads nowhere and is settled."""
    async with open_store() as store:
        keys = await store.create()
        await store.claim(keys)
        await store.client.execute("XADD", keys.unowned, "*", "c", keys.id)
        other = store.registry("other")
        [offer] = await other.dequeue(store.keys.shared(keys.partition), 10)

        assert await other.claim(offer) is None
        assert await store.client.execute("XPENDING", keys.unowned, CONSUMER_GROUP) == [0, None, None, None]


async def test_two_workers_claim_at_once(open_store) -> None:
    """The same offer in two hands: one owns."""
    async with open_store() as store:
        keys = await store.create()
        first, second = store.registry("first"), store.registry("second")
        [offer] = await first.dequeue(store.keys.shared(keys.partition), 10)

        leases = await asyncio.gather(first.claim(offer), second.claim(offer))

        assert sum(lease is not None for lease in leases) == 1


async def test_a_dead_owner_is_replaced(open_store, eventually) -> None:
    """Its lease expires, a sweep queues the conversation, and the next generation is greater."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys, "dead", lease_ms=50)
        registry = store.registry("heir")
        await eventually(
            lambda: registry.expire(store.keys.shared(keys.partition)), until=lambda queue: queue.requeued
        )
        assert (await registry.expire(store.keys.shared(keys.partition))).requeued == 0
        heir = await store.claim(keys, "heir")

        assert heir.generation > lease.generation
        assert await store.registry("dead").renew([lease]) == ([keys.id], [], [])


async def test_renewal_keeps_it(open_store) -> None:
    """A lease of 300 ms lives as long as it is renewed."""
    async with open_store() as store:
        leases = [await store.claim(await store.create(), lease_ms=300) for _ in range(20)]
        registry = store.registry(lease_ms=300)
        for _ in range(15):
            assert await registry.renew(leases) == ([], [], [])
            await asyncio.sleep(0.03)
        expired = [
            (await registry.expire(store.keys.shared(p))).requeued for p in range(store.keys.partitions)
        ]

        assert sum(expired) == 0


async def test_a_lease_that_ran_out_unnoticed_is_taken_up_again(open_store) -> None:
    """A store that stood still expires every lease: no owner loses its conversation for that."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys, lease_ms=20)
        await asyncio.sleep(0.05)
        assert await store.client.execute("EXISTS", keys.lease) == 0

        assert await store.registry().renew([lease]) == ([], [], [])
        assert await store.client.execute("GET", keys.lease) == lease.value.encode()


async def test_releasing_offers_it_at_once(open_store) -> None:
    """The next owner need not wait for the lease."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys)

        assert await store.registry().release(lease)
        assert not await store.registry().release(lease)
        assert (await store.claim(keys, "next")).generation > lease.generation


async def test_an_offer_not_settled_comes_back(open_store) -> None:
    """A worker that dies between dequeuing and claiming delays no conversation."""
    async with open_store() as store:
        keys = await store.create()
        assert await offers_of(store, keys, "dead") == [keys.id]
        assert await offers_of(store, keys, "heir", reclaim_ms=60_000) == []

        assert await offers_of(store, keys, "heir", reclaim_ms=0) == [keys.id]


async def test_room_is_respected(open_store) -> None:
    """A worker takes as many as it has room for; the rest is another's."""
    async with open_store() as store:
        many = [await store.create() for _ in range(60)]
        partition = store.keys.shared(many[0].partition)
        here = [keys.id for keys in many if keys.partition == partition.partition]

        taken = await store.registry("first").dequeue(partition, 2)
        rest = await store.registry("second").dequeue(partition, 100)

        assert [offer.conversation for offer in [*taken, *rest]] == here
        assert len(taken) == 2


async def test_what_waits_is_counted(open_store) -> None:
    """Autoscalers read it: conversations that no worker has read, and those that are pending at one."""
    async with open_store() as store:
        keys = await store.create()
        registry, partition = store.registry(), store.keys.shared(keys.partition)

        for _ in range(3):
            assert (await registry.expire(partition)).waiting == 1
            [offer] = await registry.dequeue(partition, 10)
            assert (await registry.expire(partition)).waiting == 1
            lease = await registry.claim(offer)
            assert (await registry.expire(partition)).waiting == 0
            await registry.release(lease)


async def test_what_waits_is_counted_after_a_fail_over(open_store, redis_server, other_server) -> None:
    """A replica copies the number of entries that the group has read, and does not count those read later."""
    async with open_store() as store, RedisClient(other_server.url, SCHEMA, name="replica") as replica:
        keys = await store.create()
        await store.registry().release(await store.claim(keys))
        await replicate(store.client, replica, redis_server)
        for _ in range(3):
            await store.registry().release(await store.claim(keys))
        await store.client.execute("WAIT", 1, 5000)
        await replica.execute("REPLICAOF", "NO", "ONE")
        registry, partition = Leases(replica, store.keys, owner="next"), store.keys.shared(keys.partition)

        assert (await registry.expire(partition)).waiting == 1
        [offer] = await registry.dequeue(partition, 10)
        assert await registry.claim(offer)
        assert (await registry.expire(partition)).waiting == 0


async def test_a_lost_generation_is_never_issued_again(open_store) -> None:
    """The stream remembers what the record forgot, and the clock what both forgot."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys)
        future = lease.generation + 1_000_000
        await store.client.execute("XADD", keys.down, f"{future}-1", "f", "x")
        await store.registry().release(lease)
        await store.client.execute("HDEL", keys.meta, "generation")

        assert (await store.claim(keys)).generation == future + 1


async def test_generations_within_one_millisecond_differ(open_store) -> None:
    """However fast owners change."""
    async with open_store() as store:
        keys = await store.create()
        generations = []
        for _ in range(20):
            lease = await store.claim(keys)
            generations.append(lease.generation)
            await store.registry().release(lease)

        assert generations == sorted(set(generations))


async def test_ending(open_store) -> None:
    """The lease is removed, the record stays as closed, the frames expire."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys)
        await store.client.execute("XADD", keys.down, f"{lease.generation}-1", "f", "x")

        assert await store.registry().finish(lease, keep_frames_ms=60_000, keep_record_ms=600_000)

        assert (await read(store.client, keys)).state == "ended"
        assert await store.client.execute("EXISTS", keys.lease, keys.up) == 0
        assert 0 < await store.client.execute("PTTL", keys.down) <= 60_000
        assert 60_000 < await store.client.execute("PTTL", keys.meta) <= 600_000
        assert not await store.registry().finish(lease, keep_frames_ms=1, keep_record_ms=1)


async def test_what_is_over_is_not_claimed(open_store) -> None:
    """An offer of an ended or unknown conversation is settled and leads nowhere."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys)
        await store.registry().finish(lease, keep_frames_ms=1000, keep_record_ms=1000)
        registry = store.registry()
        unknown = next(
            f"unknown-{n}" for n in range(1000) if store.keys.partition(f"unknown-{n}") == keys.partition
        )
        for conversation in (keys.id, unknown):
            await store.client.execute("XADD", keys.unowned, "*", "c", conversation)
        offers = await registry.dequeue(store.keys.shared(keys.partition), 10)

        assert [await registry.claim(offer) for offer in offers] == [None, None]
        assert await store.client.execute("XPENDING", keys.unowned, CONSUMER_GROUP) == [0, None, None, None]


async def test_a_claim_without_memory_leaves_the_offer(open_store) -> None:
    """A full store must not lose a conversation between the queue and its owner."""
    import pytest

    from relay_redis.errors import Unavailable

    async with open_store() as store:
        keys = await store.create()
        registry = store.registry(reclaim_ms=0)
        partition = store.keys.shared(keys.partition)
        [offer] = await registry.dequeue(partition, 10)
        await store.client.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(Unavailable):
                await registry.claim(offer)
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", "0")
        [again] = await registry.dequeue(partition, 10)

        assert await registry.claim(again) is not None


async def test_the_load_of_all_workers(open_store, eventually) -> None:
    """The sum of what each has reported last, until its time; what cannot be read is removed."""
    async with open_store() as store:
        first, second = store.registry("first"), store.registry("second")
        loads = store.keys.shared(0).loads

        assert await first.report_load(active=1, owned=2, keep_ms=60_000) == (1, 2, 1)
        assert await second.report_load(active=3, owned=30, keep_ms=60_000) == (4, 32, 2)
        assert await first.report_load(active=0, owned=1, keep_ms=60_000) == (3, 31, 2)
        assert 0 < await store.client.execute("PTTL", loads) <= 60_000

        await store.client.execute("HSET", loads, "damaged", "no numbers")
        assert await first.report_load(active=0, owned=1, keep_ms=60_000) == (3, 31, 2)
        assert await store.client.execute("HGET", loads, "damaged") is None

        await first.report_load(active=0, owned=1, keep_ms=1)
        await eventually(
            lambda: second.report_load(active=3, owned=30, keep_ms=60_000),
            until=lambda load: load == (3, 30, 1),
        )
