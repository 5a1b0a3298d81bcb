"""Conversations without an owner, and idle ones; beside real workers, on every server."""

import asyncio
from functools import partial
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.store import at_clean_store

from relay_ingest.unowned import UNOWNED, UNOWNED_SECONDS
from relay_ingest.worker import ENDED
from relay_streams import conversations
from relay_wire import events, uplink

TENTH = b"\x01\x02" * 1600


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers, lease_ms=400)


async def owned(rig: WorkerRig, keys: Any) -> bool:
    return (await conversations.attendance(rig.store.client, keys)).waits_s is None


async def until_owned(rig: WorkerRig, *several: Any) -> None:
    for keys in several:
        await eventually(partial(owned, rig, keys), within_s=20)


async def test_what_waits_for_an_owner_is_measured(open_rig, eventually) -> None:
    """How many, and for how long; and it is seen to have an owner as soon as there is room."""
    UNOWNED.set(0)  # what the worker of another test has reported
    UNOWNED_SECONDS.set(0)
    async with open_rig(max_conversations=1, max_idle_conversations=0) as rig, rig.worker():
        first = await rig.store.create()
        await until_owned(rig, first)
        second, third = await rig.store.create(), await rig.store.create()
        await eventually(lambda: UNOWNED._value.get() == 2 and UNOWNED_SECONDS._value.get() > 0)
        waits = [(await conversations.attendance(rig.store.client, second)).waits_s or 0.0 for _ in range(2)]
        assert 0 < waits[0] <= waits[1]

        await rig.up.append(first, uplink.Close("deleted"))
        await eventually(lambda: UNOWNED._value.get() == 1)
        for keys in (second, third):
            await rig.up.append(keys, uplink.Close("deleted"))
        await eventually(lambda: UNOWNED._value.get() == 0)
        assert UNOWNED_SECONDS._value.get() == 0


async def test_a_conversation_whose_owner_died_waits_from_the_end_of_its_lease(open_rig) -> None:
    """Although no worker has put it into the queue."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        lease = await rig.store.claim(keys, lease_ms=60_000)
        assert await owned(rig, keys)
        await rig.store.registry(lease_ms=60_000).renew([lease])
        assert await owned(rig, keys)
        await rig.store.client.execute("DEL", keys.lease)
        await rig.store.client.execute("HSET", keys.meta, "leased", 1)
        assert ((await conversations.attendance(rig.store.client, keys)).waits_s or 0) > 1_000_000


async def test_idle_conversations_leave_their_place(open_rig) -> None:
    """Idle conversations take no capacity of active ones, up to a limit of their own."""
    limits = {"max_conversations": 2, "max_idle_conversations": 3, "conversation_active_s": 0.05}
    async with open_rig(**limits) as rig, rig.worker():
        several = [await rig.store.create() for _ in range(5)]
        await until_owned(rig, *several)
        one_more = await rig.store.create()
        await rig.up.append_speech(several[0], offset=0, pcm=TENTH, end=True)
        assert await rig.until_outcome(several[0], 1) == "complete"
        assert not await owned(rig, one_more)
        await rig.up.append(several[1], uplink.Close("deleted"))
        await until_owned(rig, one_more)


async def test_a_conversation_that_nobody_uses_ends(open_rig) -> None:
    """Without viewers and speech; a conversation with viewers or speech continues."""
    async with open_rig(conversation_idle_s=0.4) as rig, rig.worker():
        forgotten, watched, spoken = [await rig.store.create() for _ in range(3)]
        before = ENDED.labels("idle")._value.get()
        seen = await rig.store.client.execute("HGET", forgotten.meta, "seen")
        assert seen is not None
        while not await rig.published(forgotten) or not isinstance(
            (await rig.published(forgotten))[-1], events.ConversationEnded
        ):
            await conversations.attendance(rig.store.client, watched, watched=True)
            await rig.up.append(spoken, uplink.Playback(0, "started", 0, "v"))
            await asyncio.sleep(0.05)
        assert (await rig.published(forgotten))[-1] == events.ConversationEnded("idle")
        assert ENDED.labels("idle")._value.get() == before + 1
        for keys in (watched, spoken):
            assert (await conversations.read(rig.store.client, keys)).state == "open"

        for keys in (watched, spoken):
            await rig.until(keys, events.ConversationEnded("idle"))


async def test_nothing_ends_where_that_is_switched_off(open_rig) -> None:
    """0 means never."""
    async with open_rig(conversation_idle_s=0, conversation_active_s=0.01) as rig, rig.worker():
        keys = await rig.store.create()
        await rig.store.client.execute("HSET", keys.meta, "seen", 1)
        await until_owned(rig, keys)
        other = await rig.store.create()
        await rig.up.append(other, uplink.Close("deleted"))
        await rig.until(other, events.ConversationEnded("deleted"))
        assert (await conversations.read(rig.store.client, keys)).state == "open"


async def test_the_demand_is_that_of_the_whole_relay(open_rig, eventually) -> None:
    """Each worker knows what all of them own, and what waits for an owner: an autoscaler may ask any."""
    async with (
        open_rig(max_conversations=1, max_idle_conversations=0) as rig,
        rig.worker() as one,
        rig.worker() as other,
    ):
        several = [await rig.store.create() for _ in range(3)]
        expected = {
            "needed_workers": 3.0, "unowned_conversations": 1, "active_conversations": 2,
            "owned_conversations": 2, "workers": 2,
        }  # fmt: skip
        for worker in (one, other):
            document = await eventually(
                worker.demand, 20, until=lambda found: found is not None and expected.items() <= found.items()
            )
            assert document["unowned_seconds"] > 0
        for keys in several:
            await rig.up.append(keys, uplink.Close("deleted"))
        await eventually(
            one.demand, 20, until=lambda found: found is not None and not found["needed_workers"]
        )


async def test_the_demand_is_not_known_while_redis_does_not_answer(open_rig, eventually) -> None:
    """An autoscaler that gets old numbers would remove workers; without any it falls back."""
    async with open_rig() as rig, rig.worker() as worker:
        await eventually(worker.demand)
        queue = rig.store.keys.shared(0).unowned
        await rig.store.client.execute("CLIENT", "PAUSE", 2500, "ALL", key=queue)
        await eventually(lambda: worker.demand() is None, within_s=20)
        await eventually(worker.demand, within_s=20)
