"""The reaper at a real server: what nobody uses ends, what lives stays, and what is left behind goes."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import open_workers
from tests.rigs.job_resources import job_resources

from relay_jobs.job import Resources
from relay_jobs.reaper.reap import REAPED, RESTORED, is_steady, reap
from relay_streams import conversations, reaping
from relay_streams.key_kinds import JOBS_GROUP
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.scripts.call import run
from relay_streams.scripts.close_idle import close_idle
from relay_streams.scripts.examine import examine
from relay_streams.webhooks import Deliveries, Facts, Place, planned
from relay_wire import events
from relay_wire.uplink import Close


async def age(store: Any, keys: ConversationKeys, ms: int = 3_600_000) -> None:
    """Nobody has used a conversation for this time."""
    then = time.time_ns() // 1_000_000 - ms
    fields = ("created", then, "seen", then, "leased", then)
    await store.client.execute("HSET", keys.meta, *fields)


async def state(store: Any, keys: ConversationKeys) -> str:
    return (await conversations.read(store.client, keys)).state


async def steadily(resources: Resources) -> None:
    """Run the reaper once it has been connected for long enough."""
    await eventually(lambda: is_steady(resources), 10)
    await reap(resources)


def reaped(kind: str) -> float:
    return REAPED.labels(kind)._value.get()


async def test_an_idle_conversation_ends_through_its_owner(open_store) -> None:
    """Its viewers would get the reason, its owner is free, and its creator's index has lost it."""
    async with (
        open_store() as store,
        open_workers(store, conversation_idle_s=0) as rig,
        rig.worker(),
        job_resources(store, conversation_ttl_s=60, reaper_gone_s=0.01) as resources,
    ):
        idle, live = await store.create(creator="key"), await store.create(creator="key")

        async def owned() -> bool:
            records = [await conversations.read(store.client, keys) for keys in (idle, live)]
            return all(record.generation for record in records)

        await eventually(owned, 10)
        await store.client.execute("HSET", live.meta, "created", time.time_ns() // 1_000_000)
        await age(store, idle)
        await asyncio.gather(*(steadily(resources) for _ in range(3)))
        await rig.until(idle, events.ConversationEnded(reaping.EXPIRED))

        async def ended() -> bool:
            return await state(store, idle) == "ended"

        await eventually(ended, 10)
        assert await state(store, live) == "open"
        found = {idle.id: await store.client.execute("SISMEMBER", idle.made("key"), idle.id)}
        found[live.id] = await store.client.execute("SISMEMBER", live.made("key"), live.id)
        assert found == {idle.id: 0, live.id: 1}


async def test_a_conversation_without_a_worker_is_ended_by_the_reaper(open_store) -> None:
    """After the request and the grace; its stream ends with the last frame, and nobody can write to it."""
    async with (
        open_store() as store,
        open_workers(store) as rig,
        job_resources(store, conversation_ttl_s=60, reaper_gone_s=0.001) as resources,
    ):
        keys = await store.create(creator="key")
        stale = await store.claim(keys)
        await store.registry().release(stale)
        await age(store, keys)

        await steadily(resources)
        assert await state(store, keys) == "closing"
        assert await store.uplink(keys) == [Close(reaping.EXPIRED)]

        async def ended() -> bool:
            await steadily(resources)
            return await state(store, keys) == "ended"

        await eventually(ended, 10)
        assert [type(event) for event in await rig.events_of(keys)] == [
            events.OwnerChanged, events.ConversationEnded,
        ]  # fmt: skip
        assert (await rig.events_of(keys))[1].reason == reaping.EXPIRED
        assert await outbox(store, keys) == [("conversation.ended", {"reason": "expired", "turns": 0})]
        assert await store.client.execute("EXISTS", keys.lease, keys.up) == 0
        assert await store.client.execute("SCARD", keys.made("key")) == 0
        assert 0 < await store.client.execute("PTTL", keys.down) <= 60_000
        # A worker that finds the conversation in its queue claims nothing.
        assert (await conversations.read(store.client, keys)).generation > stale.generation
        async with rig.worker():
            await eventually(lambda: queue_is_empty(store, keys), 10)
        assert await state(store, keys) == "ended"


async def test_a_turn_that_its_last_owner_left(open_store) -> None:
    """It ends as interrupted, with the bytes of all its owners, before the conversation does."""
    async with (
        open_store() as store,
        open_workers(store, jobs=True, drain_s=0.05) as rig,
        job_resources(store, conversation_ttl_s=60, reaper_gone_s=0.001) as resources,
    ):
        keys = await store.create()
        async with rig.worker():
            await rig.up.append_speech(keys, offset=0, pcm=bytes(6400), end=False)
            await eventually(lambda: rig.audio(keys, 1), 10)
        await age(store, keys)
        await store.client.execute("DEL", keys.up)

        async def ended() -> bool:
            await steadily(resources)
            return await state(store, keys) == "ended"

        await eventually(ended, 10)
        assert [type(event) for event in await rig.events_of(keys)][-3:] == [
            events.Interrupted, events.TurnEnded, events.ConversationEnded,
        ]  # fmt: skip
        happened = dict(await outbox(store, keys))
        assert happened["turn.ended"]["outcome"] == "interrupted"
        assert happened["turn.ended"]["audio_bytes"] == 6400
        assert happened["conversation.ended"] == {"reason": "expired", "turns": 1}


async def outbox(store: Any, keys: ConversationKeys) -> list[tuple[str, Any]]:
    """What has happened, of what jobs are for."""
    entries = await store.entries(keys.outbox)
    return [(fields[b"k"].decode(), json.loads(fields[b"d"])) for _, fields in entries]


async def queue_is_empty(store: Any, keys: ConversationKeys) -> bool:
    return (await store.registry().expire(store.keys.shared(keys.partition))).waiting == 0


@pytest.mark.parametrize("used", ["viewers", "speech", "playback", "young"])
async def test_a_conversation_in_use_stays(open_store, used: str) -> None:
    """With an owner or without: viewers, traffic, a turn that plays, or its youth keep it."""
    async with (
        open_store() as store,
        job_resources(store, conversation_ttl_s=60, reaper_gone_s=0.01) as resources,
    ):
        keys = await store.create()
        now_ms = time.time_ns() // 1_000_000
        await age(store, keys)
        match used:
            case "viewers":
                await conversations.attendance(store.client, keys, watched=True)
            case "speech":
                await store.client.execute("XADD", keys.up, "*", "k", "text", "d", "x", "c", "0 0 0")
            case "playback":
                await store.client.execute("HSET", keys.meta, "turn_ends_at_ms", now_ms + 1000)
            case "young":
                await store.client.execute("HSET", keys.meta, "created", now_ms)
        await steadily(resources)
        assert await state(store, keys) == "open"

        await store.client.execute("DEL", keys.up)
        await store.client.execute("HSET", keys.meta, "turn_ends_at_ms", 0)
        await age(store, keys)
        await steadily(resources)
        assert await state(store, keys) == "closing"


async def test_viewers_that_come_at_the_last_moment(open_store) -> None:
    """The script that requests the end checks again."""
    async with open_store() as store:
        keys = await store.create()
        await age(store, keys)
        found = await run(store.client, examine(keys))
        assert found.idle_ms > 3_000_000
        await conversations.attendance(store.client, keys, watched=True)
        assert not await run(store.client, close_idle(keys, idle_ms=60_000, reason="expired"))
        assert await state(store, keys) == "open"


async def test_no_conversation_expires_without_a_time_to_live(open_store) -> None:
    """0 stands for ever."""
    async with (
        open_store() as store,
        job_resources(store, conversation_ttl_s=0, reaper_gone_s=0.01) as resources,
    ):
        keys = await store.create()
        await age(store, keys)
        await steadily(resources)
        assert await state(store, keys) == "open"


async def test_an_end_that_was_requested_keeps_its_reason(open_store) -> None:
    """A conversation that its backend has deleted, and that no worker has ended, ends as deleted."""
    async with (
        open_store() as store,
        open_workers(store) as rig,
        job_resources(store, reaper_gone_s=0.001) as resources,
    ):
        keys = await store.create()
        await rig.up.append(keys, Close("deleted"))
        await age(store, keys)

        async def ended() -> bool:
            await steadily(resources)
            return await state(store, keys) == "ended"

        await eventually(ended, 10)
        assert (await rig.events_of(keys))[-1] == events.ConversationEnded("deleted")


async def test_streams_without_a_record_go_when_it_stays_away(open_store) -> None:
    """Not at once: an owner that lives writes its record again, and then they stay."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.2) as resources:
        lost, back = await store.create(), await store.create()
        for keys in (lost, back):
            await store.client.execute("XADD", keys.down, "1-1", "f", "x")
            await store.client.execute("XADD", keys.up, "1-1", "k", "x")
        fields = await store.client.execute("HGETALL", back.meta)
        await store.client.execute("DEL", lost.meta)
        await store.client.execute("DEL", back.meta)
        before = reaped("stream")
        await steadily(resources)
        assert await store.client.execute("EXISTS", lost.down, lost.up) == 2
        await store.client.execute("HSET", back.meta, *fields)

        async def removed() -> bool:
            await steadily(resources)
            return await store.client.execute("EXISTS", lost.down, lost.up) == 0

        await eventually(removed, 10)
        assert await store.client.execute("EXISTS", back.down, back.up) == 2
        assert reaped("stream") == before + 2
        assert await store.client.execute("ZCARD", back.orphans) == 0


async def test_what_a_living_owner_has_is_no_orphan(open_store) -> None:
    """Its lease shows that it will write the record again; streams that expire anyway are left alone."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.001) as resources:
        owned, expiring = await store.create(), await store.create()
        await store.claim(owned, lease_ms=60_000)
        for keys in (owned, expiring):
            await store.client.execute("XADD", keys.down, "1-1", "f", "x")
            await store.client.execute("DEL", keys.meta)
        await store.client.execute("PEXPIRE", expiring.down, 60_000)
        for _ in range(3):
            await steadily(resources)
            await asyncio.sleep(0.01)
        assert await store.client.execute("EXISTS", owned.down) == 1
        assert await store.client.execute("EXISTS", expiring.down) == 1


async def test_a_lease_that_cannot_expire_goes(open_store) -> None:
    """It counts as none, and would keep nobody from claiming; one that expires stays."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.01) as resources:
        stuck, owned = await store.create(), await store.create()
        await store.client.execute("SET", stuck.lease, "nobody 1")
        await store.claim(owned, lease_ms=60_000)
        before = reaped("lease")
        await steadily(resources)
        assert await store.client.execute("EXISTS", stuck.lease) == 0
        assert await store.client.execute("EXISTS", owned.lease) == 1
        assert reaped("lease") == before + 1


async def test_a_creators_index_loses_what_is_not_there(open_store) -> None:
    """Conversations that have ended, or that Redis has lost; the limit of its key counts the rest."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.01) as resources:
        live, gone, over = [await store.create(creator="key") for _ in range(3)]
        await store.client.execute("DEL", gone.meta)
        await store.client.execute("HSET", over.meta, "state", "ended")
        before = reaped("index")
        await steadily(resources)
        assert await conversations.count_live(store.client, store.keys, "key") == 1
        assert await store.client.execute("SMEMBERS", live.made("key")) == [live.id.encode()]
        assert reaped("index") == before + 2


async def test_dispatchers_that_are_gone_leave_the_group(open_store) -> None:
    """One with entries that nobody has consumed stays, since removing it would lose them."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.001) as resources:
        outbox = store.keys.shared(3).outbox
        await store.client.execute("XADD", outbox, "*", "k", "x")
        await store.client.execute("XGROUP", "CREATE", outbox, JOBS_GROUP, "0")
        await store.client.execute("XREADGROUP", "GROUP", JOBS_GROUP, "busy", "STREAMS", outbox, ">")
        await store.client.execute("XGROUP", "CREATECONSUMER", outbox, JOBS_GROUP, "gone")

        async def names() -> list[bytes]:
            await steadily(resources)
            return [
                consumer[1]
                for consumer in await store.client.execute("XINFO", "CONSUMERS", outbox, JOBS_GROUP)
            ]

        await eventually(names, 10, until=lambda found: found == [b"busy"])


async def test_webhooks_that_no_index_has_are_due_again(open_store) -> None:
    """Redis has evicted the index of one partition, and a program has replaced that of another."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.01) as resources:
        deliveries, facts = (
            Deliveries(store.client, store.keys),
            Facts("crm", "c.1-2", "turn.ended", "c", 4, 1000),
        )
        for number in range(4):
            shared = store.keys.shared(number % 2)
            for write in planned(shared, f"msg_{number}_crm", facts, b"{}"):
                await store.client.execute(write.command, write.key, *write.args)
        await store.client.execute("DEL", store.keys.shared(0).webhooks_due)
        await store.client.execute("DEL", store.keys.shared(1).webhooks_due)
        await store.client.execute("SET", store.keys.shared(1).webhooks_due, "x")
        before = RESTORED._value.get()

        async def pending() -> int:
            await steadily(resources)
            return RESTORED._value.get() - before

        await eventually(pending, 10, until=lambda restored: restored == 4)
        assert (await deliveries.backlog()).due == 4
        assert [attempt.number for attempt in await begun(deliveries)] == [1, 1, 1, 1]


async def begun(deliveries: Deliveries) -> list[Any]:
    """An attempt of each delivery."""
    places = [Place(number % 2, f"msg_{number}_crm") for number in range(4)]
    return [await deliveries.begin(place, claim_s=60) for place in places]


async def test_a_scan_continues_where_the_last_one_stopped(open_store) -> None:
    """In bounded steps; one process scans a server at a time, and a scan whose process died is continued."""
    async with open_store() as store:
        for _ in range(30):
            await store.create()
        for number in range(3000):
            await store.client.execute("SET", f"relay:{{p00}}:heartbeat:{number}", "x")
        found: list[str] = []

        async def scanned(limit: int) -> None:
            (scan,) = reaping.scans(store.client, store.keys)
            assert await scan.begin(60)
            assert not await reaping.scans(store.client, store.keys)[0].begin(60)
            async for step in scan.steps(limit):
                found.extend(step.conversations)
            await scan.end()

        for _ in range(8):
            await scanned(500)
        assert len(set(found)) == 30

        (scan,) = reaping.scans(store.client, store.keys)
        assert await scan.begin(0.001)
        await asyncio.sleep(0.005)
        assert await scan.begin(60)


async def test_keys_of_another_number_of_partitions(open_store) -> None:
    """They are nobody's here, and stay."""
    async with open_store() as store, job_resources(store, reaper_gone_s=0.001) as resources:
        other = KeySpace(97).conversation("01JDFOREIGN")
        await store.client.execute("XADD", other.down, "1-1", "f", "x")
        await store.client.execute("SADD", KeySpace(97).shared(96).made("key"), "x")
        for _ in range(3):
            await steadily(resources)
            await asyncio.sleep(0.005)
        assert await store.client.execute("EXISTS", other.down) == 1
        assert await store.client.execute("EXISTS", KeySpace(97).shared(96).made("key")) == 1


async def test_nothing_is_judged_soon_after_an_outage(open_store) -> None:
    """What looks idle may be in use: viewers are noted again, and workers are back, after some time."""
    async with open_store() as store, job_resources(store, conversation_ttl_s=60) as resources:
        keys = await store.create()
        await age(store, keys)
        await reap(resources)
        assert await state(store, keys) == "open"
        assert not is_steady(resources)
