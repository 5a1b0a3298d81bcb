"""The last owner at a real server: ends only what nobody owns, once, and leaves the rest to whoever comes."""

from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.job_resources import job_resources

from relay_jobs.reaper import last_owner
from relay_jobs.reaper.reap import FAILURES, is_steady, reap
from relay_streams import conversations
from relay_streams.errors import Unreadable
from relay_streams.keys import ConversationKeys
from relay_turns.state import TurnState


async def state(store: Any, keys: ConversationKeys) -> str:
    return (await conversations.read(store.client, keys)).state


async def test_a_conversation_with_an_owner_stays(open_store) -> None:
    """The owner came between the look and the end; its lease and its record are as before."""
    async with open_store() as store, job_resources(store) as resources:
        keys = await store.create()
        lease = await store.claim(keys, lease_ms=60_000)
        assert not await last_owner.end(resources, keys, "expired")
        assert await store.client.execute("GET", keys.lease) == lease.value.encode()
        assert await state(store, keys) == "open"


async def test_one_that_has_ended_or_is_not_there(open_store) -> None:
    """There is nothing to end, so that a repetition changes nothing."""
    async with open_store() as store, job_resources(store) as resources:
        keys = await store.create()
        assert await last_owner.end(resources, keys, "expired")
        before = await store.entries(keys.down), await store.entries(keys.outbox)
        assert not await last_owner.end(resources, keys, "expired")
        assert (await store.entries(keys.down), await store.entries(keys.outbox)) == before
        assert not await last_owner.end(resources, store.keys.conversation("unknown"), "expired")


async def test_an_owner_that_had_published_the_end(open_store) -> None:
    """And died before it could finish: no frame is published again."""
    async with open_store() as store, job_resources(store) as resources:
        keys = await store.create()
        closed = TurnState(phase="closed").encode()
        await store.client.execute("HSET", keys.meta, "checkpoint", closed)
        assert await last_owner.end(resources, keys, "expired")
        assert (await state(store, keys), await store.entries(keys.down)) == ("ended", [])


async def test_a_record_that_is_damaged(open_store) -> None:
    """It ends all the same, and its fields can be read then."""
    async with open_store() as store, job_resources(store) as resources:
        keys = await store.create()
        await store.client.execute("HSET", keys.meta, "turn", "x", "checkpoint", "{")
        assert await last_owner.end(resources, keys, "expired")
        assert await state(store, keys) == "ended"


async def test_a_full_redis(open_store) -> None:
    """Nothing is half ended; it ends once there is room."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.001) as resources:
        keys = await store.create()
        await store.client.execute("HSET", keys.meta, "state", "closing", "in_close", "1-1", "leased", 1)
        await eventually(lambda: is_steady(resources), 10)
        before = FAILURES.labels("store")._value.get()
        await store.client.execute("CONFIG", "SET", "maxmemory", 1)
        try:
            await reap(resources)
        finally:
            await store.client.execute("CONFIG", "SET", "maxmemory", 0)
        assert FAILURES.labels("store")._value.get() > before
        assert await state(store, keys) == "closing"

        async def ended() -> bool:
            await reap(resources)
            return await state(store, keys) == "ended"

        await eventually(ended, 10)


async def test_frames_that_redis_does_not_store(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation stays for its next owner, who ends it."""
    monkeypatch.setattr(last_owner, "_PUBLISH_S", 0.2)
    async with open_store() as store, job_resources(store) as resources:
        keys = await store.create()
        publisher = await resources.opened(last_owner._publisher)
        await publisher.__aexit__(None, None, None)  # without a connection nothing is stored
        assert not await last_owner.end(resources, keys, "expired")
        assert (await state(store, keys), await store.entries(keys.down)) == ("open", [])

        await publisher.__aenter__()
        await store.client.execute("DEL", keys.lease)  # as when it expires
        assert await last_owner.end(resources, keys, "expired")
        assert await state(store, keys) == "ended"


async def test_a_record_of_a_later_version(open_store) -> None:
    """It is left alone, and counted; a version that can read it ends it."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.001) as resources:
        keys = await store.create()
        long_ago = ("state", "closing", "in_close", "1-1", "leased", 1, "format", 99)
        await store.client.execute("HSET", keys.meta, *long_ago)
        with pytest.raises(Unreadable):
            await last_owner.end(resources, keys, "expired")
        before = FAILURES.labels("later_format")._value.get()
        await eventually(lambda: is_steady(resources), 10)
        await reap(resources)
        assert FAILURES.labels("later_format")._value.get() == before + 1
        assert await store.client.execute("HGET", keys.meta, "state") == b"closing"
