"""Conversations that nobody owns, and those that nobody ends; beside real workers, on both servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_ingest.unowned import UNOWNED, UNOWNED_SECONDS
from relay_ingest.worker import ENDED
from relay_streams import conversations
from relay_wire import events, uplink

TENTH = b"\x01\x02" * 1600


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        async with open_store() as store, open_workers(store, lease_ms=400, **settings) as opened:
            yield opened

    return made


async def owned(b: WorkerRig, keys: Any) -> bool:
    return (await conversations.attendance(b.store.client, keys)).waits_s is None


async def until_owned(b: WorkerRig, *several: Any) -> None:
    for keys in several:
        await eventually(partial(owned, b, keys), within_s=20)


async def test_what_waits_for_an_owner_is_measured(bench, eventually) -> None:
    """How many, and for how long; and it is seen to have an owner as soon as there is room."""
    UNOWNED.set(0)  # what the worker of another test has reported
    UNOWNED_SECONDS.set(0)
    async with bench(max_conversations=1, max_idle_conversations=0) as b, b.worker():
        first = await b.store.create()
        await until_owned(b, first)
        second, third = await b.store.create(), await b.store.create()
        await eventually(lambda: UNOWNED._value.get() == 2 and UNOWNED_SECONDS._value.get() > 0)
        waits = [(await conversations.attendance(b.store.client, second)).waits_s or 0.0 for _ in range(2)]
        assert 0 < waits[0] <= waits[1]

        await b.up.append(first, uplink.Close("deleted"))
        await eventually(lambda: UNOWNED._value.get() == 1)
        for keys in (second, third):
            await b.up.append(keys, uplink.Close("deleted"))
        await eventually(lambda: UNOWNED._value.get() == 0)
        assert UNOWNED_SECONDS._value.get() == 0


async def test_a_conversation_whose_owner_died_waits_from_the_end_of_its_lease(bench) -> None:
    """Although nobody is there to put it up."""
    async with bench() as b:
        keys = await b.store.create()
        lease = await b.store.claim(keys, lease_ms=60_000)
        assert await owned(b, keys)
        await b.store.registry(lease_ms=60_000).renew([lease])
        assert await owned(b, keys)
        await b.store.client.execute("DEL", keys.lease)
        await b.store.client.execute("HSET", keys.meta, "leased", 1)
        assert ((await conversations.attendance(b.store.client, keys)).waits_s or 0) > 1_000_000


async def test_idle_conversations_leave_their_place(bench) -> None:
    """Those that were created and forgotten keep nobody out, up to a bound of their own."""
    limits = {"max_conversations": 2, "max_idle_conversations": 3, "conversation_active_s": 0.05}
    async with bench(**limits) as b, b.worker():
        several = [await b.store.create() for _ in range(5)]
        await until_owned(b, *several)
        one_more = await b.store.create()
        await b.up.append_speech(several[0], offset=0, pcm=TENTH, end=True)
        assert await b.until_outcome(several[0], 1) == "complete"
        assert not await owned(b, one_more)
        await b.up.append(several[1], uplink.Close("deleted"))
        await until_owned(b, one_more)


async def test_a_conversation_that_nobody_uses_ends(bench) -> None:
    """Without viewers, and without a word; one that is watched, or spoken in, goes on."""
    async with bench(conversation_idle_s=0.4) as b, b.worker():
        forgotten, watched, spoken = [await b.store.create() for _ in range(3)]
        before = ENDED.labels("idle")._value.get()
        seen = await b.store.client.execute("HGET", forgotten.meta, "seen")
        assert seen is not None
        while not await b.published(forgotten) or not isinstance(
            (await b.published(forgotten))[-1], events.ConversationEnded
        ):
            await conversations.attendance(b.store.client, watched, watched=True)
            await b.up.append(spoken, uplink.Playback(0, "started", 0, "v"))
            await asyncio.sleep(0.05)
        assert (await b.published(forgotten))[-1] == events.ConversationEnded("idle")
        assert ENDED.labels("idle")._value.get() == before + 1
        for keys in (watched, spoken):
            assert (await conversations.read(b.store.client, keys)).state == "open"

        for keys in (watched, spoken):
            await b.until(keys, events.ConversationEnded("idle"))


async def test_nothing_ends_where_that_is_switched_off(bench) -> None:
    """0 means never."""
    async with bench(conversation_idle_s=0, conversation_active_s=0.01) as b, b.worker():
        keys = await b.store.create()
        await b.store.client.execute("HSET", keys.meta, "seen", 1)
        await until_owned(b, keys)
        other = await b.store.create()
        await b.up.append(other, uplink.Close("deleted"))
        await b.until(other, events.ConversationEnded("deleted"))
        assert (await conversations.read(b.store.client, keys)).state == "open"
