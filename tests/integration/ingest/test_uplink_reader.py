"""The uplink reader: what it measures of the entries on their way."""

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import open_workers
from tests.rigs.metrics import metric
from tests.rigs.store import at_clean_store

from relay_ingest.owner import TAKEOVER_SECONDS
from relay_ingest.uplink_reader import UPLINK_SECONDS
from relay_ingest.worker import UPLINK_OLDEST
from relay_wire import uplink

SECOND = bytes(32_000)


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""
    return at_clean_store(open_store, open_workers, lease_ms=400)


async def test_each_entry_is_observed_once(bench) -> None:
    """Also one that is read again: a deferred turn is read past, and read when it may begin."""
    before = metric(UPLINK_SECONDS, le="+Inf")
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=SECOND, end=True)
            await b.up.append_speech(keys, offset=0, pcm=SECOND, end=True)
            await b.up.append(keys, uplink.Playback(1, "started", 0, "v"))
            await b.up.append(keys, uplink.Playback(1, "finished", 1000, "v"))
            assert await b.until_outcome(keys, 2) == "complete"

    assert metric(UPLINK_SECONDS, le="+Inf") == before + 4


async def test_the_oldest_that_waits(bench) -> None:
    """Speech of a turn that waits for the one before it; nothing when none does."""
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=SECOND * 2, end=True)
            await b.up.append_speech(keys, offset=0, pcm=SECOND, end=True)
            await eventually(lambda: metric(UPLINK_OLDEST) > 0, 5)
            await b.up.append(keys, uplink.Interrupt(reason="viewer"))
            await eventually(lambda: metric(UPLINK_OLDEST) == 0, 5)


async def test_a_takeover_is_measured(bench) -> None:
    """Of a conversation that had an owner; the first owner of one takes nothing over."""
    before, seconds = metric(TAKEOVER_SECONDS, le="+Inf"), metric_sum()
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=SECOND, end=True)
            await b.until_outcome(keys, 1)
        assert metric(TAKEOVER_SECONDS, le="+Inf") == before
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=SECOND, end=True, barge_in=True)
            await b.until_outcome(keys, 2)

    assert metric(TAKEOVER_SECONDS, le="+Inf") == before + 1
    assert 0 < metric_sum() - seconds < 60


def metric_sum() -> float:
    """What all take-overs took."""
    return sum(
        sample.value
        for family in TAKEOVER_SECONDS.collect()
        for sample in family.samples
        if sample.name.endswith("_sum")
    )
