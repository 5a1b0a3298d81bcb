"""Indexes that lost an entry, and names of workers that are gone; on every server."""

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.store import at_clean_store

from relay_ingest.upkeep import REPAIRED
from relay_streams.conversations import count_live
from relay_streams.key_kinds import CONSUMER_GROUP

TENTH = b"\x01\x02" * 1600
QUICK = {"ingest_upkeep_s": 0.02, "ingest_gone_s": 0.5, "lease_ms": 400, "partitions": 2}


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers)


async def consumers(rig: WorkerRig, queue: str) -> list[bytes]:
    """Names in a queue's group."""
    listed = await rig.store.client.execute("XINFO", "CONSUMERS", queue, CONSUMER_GROUP)
    return [dict(zip(one[::2], one[1::2], strict=True))[b"name"] for one in listed]


@pytest.mark.parametrize("lost", ["leases", "unowned"])
async def test_a_conversation_that_no_index_knows_is_owned_again(open_rig, lost: str) -> None:
    """Its lease's index or its queue was evicted, or deleted by hand."""
    async with open_rig() as rig:
        keys = await rig.store.create(creator="somebody")
        if lost == "leases":
            await rig.store.claim(keys, "one-that-dies", lease_ms=100)
        await rig.store.client.execute("DEL", keys.leases, keys.unowned, keys.made("somebody"))
        before = REPAIRED._value.get()
        settings = {**QUICK, "partitions": 16}
        async with rig.worker(**settings):
            spoken = await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await rig.until_outcome(keys, spoken.turn) in ("complete", "audio_only")
        assert REPAIRED._value.get() == before + 1
        assert await count_live(rig.store.client, rig.store.keys, "somebody") == 1


async def test_what_is_indexed_is_left_alone(open_rig) -> None:
    """No conversation is queued twice: neither what waits, nor what is owned, nor what has ended."""
    async with open_rig() as rig:
        owned, waiting, ended = [await rig.store.create() for _ in range(3)]
        registry = rig.store.registry("mender", lease_ms=60_000)
        partition = rig.store.keys.shared(owned.partition)
        for keys in (owned, ended):
            [offer] = [
                offer
                for offer in await registry.dequeue(rig.store.keys.shared(keys.partition), 10)
                if offer.conversation == keys.id
            ]
            lease = await registry.claim(offer)
            assert lease is not None
            if keys is ended:
                await registry.finish(lease, keep_frames_ms=60_000, keep_record_ms=60_000)
        for keys in (owned, waiting, ended):
            assert await registry.repair(rig.store.keys.shared(keys.partition), 0) == 0
        assert partition.unowned == owned.unowned


async def test_names_of_workers_go_with_them(open_rig) -> None:
    """A stopping worker removes its own; that of a dead worker is removed once it has no assignments."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        await rig.store.client.execute("XADD", keys.unowned, "*", "c", "somebody-elses")
        dead = rig.store.registry("dead")
        [first, *_] = await dead.dequeue(rig.store.keys.shared(keys.partition), 10)
        assert first.conversation == keys.id
        assert await dead.reap(rig.store.keys.shared(keys.partition), 0) == 0, "its offers would be lost"
        for _ in range(3):
            async with rig.worker(ingest_upkeep_s=0.02, ingest_gone_s=0.2, lease_ms=400):
                spoken = await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
                assert await rig.until_outcome(keys, spoken.turn) in ("complete", "audio_only")

        async def nobody_is_left() -> bool:
            return not await consumers(rig, keys.unowned)

        async with rig.worker(ingest_upkeep_s=0.02, ingest_gone_s=0.2, lease_ms=400, worker_name="last"):

            async def dead_is_gone() -> bool:
                return b"dead" not in await consumers(rig, keys.unowned)

            await eventually(dead_is_gone, 20)
        await eventually(nobody_is_left, 20)
