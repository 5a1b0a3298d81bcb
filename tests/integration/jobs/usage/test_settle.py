"""Settling accounts at a real server: what is noted counts once, whoever settles it, and however often."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from tests.rigs.job_resources import job_resources

from relay_jobs.usage.settle import FAILURES, SETTLED, settle_accounts
from relay_jobs.usage.settlement import Terms
from relay_redis.client import RedisClient
from relay_streams import accounts, usage
from relay_streams.accounts import Settled
from relay_streams.keys import ConversationKeys
from relay_streams.scripts import SCHEMA

TERMS = Terms(session_ms=1000, grace_ms=0, keep_ms=60_000)


async def note(store: Any, keys: ConversationKeys, **fields: object) -> None:
    """Notes in an account, as the consequence of an event writes them; ``__`` stands for a colon."""
    for name, value in {"app": "key", **fields}.items():
        await store.client.execute("HSET", keys.account, name.replace("__", ":"), str(value))
    await store.client.execute("HINCRBY", keys.account, "revision", 1)
    due = store.keys.shared(keys.partition).accounts_due
    await store.client.execute("ZADD", due, 1, keys.id)


async def counted(store: Any) -> dict[str, int]:
    """What is counted today for the key."""
    rows = await usage.read(store.client, store.keys, [today()], "key")
    return dict(rows[0].counts) if rows else {}


def today() -> str:
    return usage.day_of(time.time_ns() // 1_000_000)


def settled(kind: str) -> float:
    return SETTLED.labels(kind)._value.get()


async def test_viewer_time_counts_once(open_store) -> None:
    """However many settle it at once; what is noted later adds the difference."""
    async with open_store() as store, job_resources(store) as resources:
        keys = store.keys.conversation("01JDSETTLE")
        now_ms = time.time_ns() // 1_000_000
        await note(store, keys, view__1=f"500 {now_ms}")
        await asyncio.gather(*(settle_accounts(resources) for _ in range(5)))
        assert await counted(store) == {"viewer_ms": 500}

        await note(store, keys, view__2=f"700 {now_ms}", view__1=f"500 {now_ms}")
        await settle_accounts(resources)
        await settle_accounts(resources)
        assert await counted(store) == {"viewer_ms": 700}
        assert await store.client.execute("ZCARD", store.keys.shared(keys.partition).accounts_due) == 0
        assert await store.client.execute("PTTL", store.keys.shared(keys.partition).usage("key", today())) > 0


async def test_a_session_of_a_killed_owner(open_store) -> None:
    """It is estimated once its longest time is over, and a late report replaces the estimate."""
    async with open_store() as store, job_resources(store, usage_session_s=9, usage_grace_s=1) as resources:
        keys = store.keys.conversation("01JDSETTLE")
        opened_ms = time.time_ns() // 1_000_000 - 5000
        estimates, reports = settled("estimate"), settled("report")
        await note(store, keys, opened__s=opened_ms)
        await settle_accounts(resources)
        due = await accounts.due(
            store.client, store.keys.shared(keys.partition), by_ms=opened_ms + 10_000, limit=5
        )
        assert (await counted(store), due) == ({}, [(keys.id, opened_ms + 10_000)])

        await note(store, keys, ended=opened_ms + 3500)
        await settle_accounts(resources)
        assert await counted(store) == {"estimated_motion_ms": 3500, "estimated_credits": 1}
        assert 0 < await store.client.execute("PTTL", keys.account) <= 86_400_000

        await note(store, keys, closed__s=1)
        await settle_accounts(resources)
        assert await counted(store) == {"estimated_motion_ms": 0, "estimated_credits": 0}
        assert (settled("estimate"), settled("report")) == (estimates + 1, reports + 1)


async def test_an_account_that_has_changed(open_store) -> None:
    """A settlement of an earlier revision writes nothing: the event noted since is not lost."""
    async with open_store() as store:
        keys = store.keys.conversation("01JDSETTLE")
        await note(store, keys, view__1="500 1")
        stale = Settled("key", 0, {today(): {"viewer_ms": 1}}, {}, ["view:1"], None, None, 1000)
        assert not await accounts.settle(store.client, keys, stale)
        assert (await accounts.read(store.client, keys)).views
        assert await counted(store) == {}


async def test_keys_of_other_types(open_store) -> None:
    """They are replaced, and what is counted is counted once."""
    async with open_store() as store, job_resources(store) as resources:
        keys = store.keys.conversation("01JDSETTLE")
        shared = store.keys.shared(keys.partition)
        await store.client.execute("SET", shared.usage_apps(today()), "foreign")
        await store.client.execute("HSET", shared.usage("key", today()), "viewer_ms", "damaged", "x", "y")
        await note(store, keys, view__1=f"500 {time.time_ns() // 1_000_000}")
        await settle_accounts(resources)
        await settle_accounts(resources)
        assert await counted(store) == {"viewer_ms": 500}
        assert await store.client.execute("SMEMBERS", shared.usage_apps(today())) == [b"key"]


async def test_redis_that_does_not_answer(open_store) -> None:
    """Each partition that cannot be read is counted, and the tick ends without an error."""
    async with (
        open_store() as store,
        RedisClient("redis://127.0.0.1:1", SCHEMA, name="away", timeout_s=0.1) as away,
        job_resources(replace(store, client=away)) as resources,
    ):
        before = FAILURES.labels("store")._value.get()
        await settle_accounts(resources)
        assert FAILURES.labels("store")._value.get() == before + store.keys.partitions
