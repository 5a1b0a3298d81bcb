"""Indexes that lost an entry, and names of workers that are gone; on both servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_ingest.upkeep import REPAIRED
from relay_streams.conversations import count_live
from relay_streams.keys import CONSUMER_GROUP

TENTH = b"\x01\x02" * 1600
QUICK = {"ingest_upkeep_s": 0.02, "ingest_gone_s": 0.5, "lease_ms": 400, "partitions": 2}


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        async with open_store() as store, open_workers(store, **settings) as opened:
            yield opened

    return made


async def consumers(b: WorkerRig, queue: str) -> list[bytes]:
    """Names in a queue's group."""
    listed = await b.store.client.execute("XINFO", "CONSUMERS", queue, CONSUMER_GROUP)
    return [dict(zip(one[::2], one[1::2], strict=True))[b"name"] for one in listed]


@pytest.mark.parametrize("lost", ["leases", "unowned"])
async def test_a_conversation_that_no_index_knows_is_owned_again(bench, lost: str) -> None:
    """Its lease's index or its queue was evicted, or deleted by hand."""
    async with bench() as b:
        keys = await b.store.create(creator="somebody")
        if lost == "leases":
            await b.store.claim(keys, "one-that-dies", lease_ms=100)
        await b.store.client.execute("DEL", keys.leases, keys.unowned, keys.made("somebody"))
        before = REPAIRED._value.get()
        settings = {**QUICK, "partitions": 16}
        async with b.worker(**settings):
            spoken = await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await b.until_outcome(keys, spoken.turn) in ("complete", "audio_only")
        assert REPAIRED._value.get() == before + 1
        assert await count_live(b.store.client, b.store.keys, "somebody") == 1


async def test_what_is_indexed_is_left_alone(bench) -> None:
    """Nothing is put up twice: neither what waits, nor what is owned, nor what has ended."""
    async with bench() as b:
        owned, waiting, ended = [await b.store.create() for _ in range(3)]
        registry = b.store.registry("mender", lease_ms=60_000)
        partition = b.store.keys.shared(owned.partition)
        for keys in (owned, ended):
            [offer] = [
                offer
                for offer in await registry.dequeue(b.store.keys.shared(keys.partition), 10)
                if offer.conversation == keys.id
            ]
            lease = await registry.claim(offer)
            assert lease is not None
            if keys is ended:
                await registry.finish(lease, keep_frames_ms=60_000, keep_record_ms=60_000)
        for keys in (owned, waiting, ended):
            assert await registry.repair(b.store.keys.shared(keys.partition), 0) == 0
        assert partition.unowned == owned.unowned


async def test_names_of_workers_go_with_them(bench) -> None:
    """Those that stop take theirs away; those that died lose theirs once they have no offers."""
    async with bench() as b:
        keys = await b.store.create()
        await b.store.client.execute("XADD", keys.unowned, "*", "c", "somebody-elses")
        dead = b.store.registry("dead")
        [first, *_] = await dead.dequeue(b.store.keys.shared(keys.partition), 10)
        assert first.conversation == keys.id
        assert await dead.reap(b.store.keys.shared(keys.partition), 0) == 0, "its offers would be lost"
        for _ in range(3):
            async with b.worker(ingest_upkeep_s=0.02, ingest_gone_s=0.2, lease_ms=400):
                spoken = await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
                assert await b.until_outcome(keys, spoken.turn) in ("complete", "audio_only")

        async def nobody_is_left() -> bool:
            return not await consumers(b, keys.unowned)

        async with b.worker(ingest_upkeep_s=0.02, ingest_gone_s=0.2, lease_ms=400, worker_name="last"):

            async def dead_is_gone() -> bool:
                return b"dead" not in await consumers(b, keys.unowned)

            await eventually(dead_is_gone, 20)
        await eventually(nobody_is_left, 20)
