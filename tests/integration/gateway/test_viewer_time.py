"""Viewer time in the record: what each gateway measured, also for viewers that have left; only with jobs."""

import asyncio

from relay_streams.conversations import read
from relay_streams.outbox import OutboxConsumer, OutboxEvent

WATCHED_S = 0.02
"""How long viewers watch: more than the millisecond that is the least to be stored."""


async def viewer_ms(rig) -> int:
    return (await read(rig.store.client, rig.keys)).viewer_ms


async def outbox(rig) -> list[OutboxEvent]:
    consumer = OutboxConsumer(rig.store.client, rig.store.keys, consumer="test", reclaim_ms=0)
    return await consumer.read()


async def test_the_time_grows_while_somebody_watches(open_rig, eventually) -> None:
    """With each report."""
    async with open_rig(jobs=True, presence_s=0.05) as rig, await rig.connect():
        first = await eventually(lambda: viewer_ms(rig))
        assert await eventually(lambda: viewer_ms(rig), until=lambda more: more > first)
        assert await outbox(rig) == []


async def test_viewers_that_have_left(open_rig, eventually) -> None:
    """Their time is stored although no report is due; then it grows no more."""
    async with open_rig(jobs=True, presence_s=60) as rig:
        async with await rig.connect(), await rig.connect():
            await asyncio.sleep(WATCHED_S)
        total = await eventually(lambda: viewer_ms(rig))
        async with await rig.connect():
            await asyncio.sleep(WATCHED_S)
        assert await eventually(lambda: viewer_ms(rig), until=lambda more: more > total)


async def test_a_conversation_that_has_ended(open_rig, eventually) -> None:
    """The outbox gets the time that no other event can have."""
    async with open_rig(jobs=True, presence_s=60) as rig:
        async with await rig.connect():
            await asyncio.sleep(WATCHED_S)
            await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended", "creator", "key-1")
        [event] = await eventually(lambda: outbox(rig))
        assert (event.type, event.order, event.key_id) == ("viewers.watched", 0, "key-1")
        assert event.viewer_ms == await viewer_ms(rig) > 0


async def test_redis_is_away(proxied, eventually) -> None:
    """The time of viewers that leave meanwhile is stored once Redis is back."""
    async with proxied(jobs=True, presence_s=0.1) as (rig, proxy):
        async with await rig.connect():
            total = await eventually(lambda: viewer_ms(rig))
            await proxy.set_mode("refuse")
            await asyncio.sleep(WATCHED_S)
        await proxy.set_mode("pass")
        assert await eventually(lambda: viewer_ms(rig), until=lambda more: more > total)


async def test_a_gateway_that_stops(open_rig) -> None:
    """It stores what its last viewers have watched."""
    async with open_rig(jobs=True, presence_s=60) as rig:
        store, keys = rig.store, rig.keys
        socket = await rig.connect()
        await asyncio.sleep(WATCHED_S)
        await rig.service.close()
        assert (await read(store.client, keys)).viewer_ms > 0
        await socket.close()


async def test_without_jobs(open_rig, eventually) -> None:
    """Nothing is stored."""
    async with open_rig(presence_s=0.05) as rig:
        await rig.store.client.execute("HSET", rig.keys.meta, "seen", 1)
        async with await rig.connect():
            await eventually(
                lambda: rig.store.client.execute("HGET", rig.keys.meta, "seen"),
                until=lambda seen: seen != b"1",
            )
        assert await rig.store.client.execute("HGET", rig.keys.meta, "viewer_ms") is None
