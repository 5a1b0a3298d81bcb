"""Scripts that a server has lost, or does not load: every frame is appended once, in order."""

import asyncio

from tests.rigs.resp import UNKNOWN, Resp

from relay_redis.client import RedisClient
from relay_redis.metrics import REFUSALS
from relay_redis.node import SCRIPTS_SENT
from relay_streams.consumer import StreamConsumer
from relay_streams.errors import Unreplicated
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.uplink import Uplink, UplinkLimits
from relay_turns.effects import Publish
from relay_wire.frame import Kind


def count(counter, *labels: str) -> float:
    return float(counter.labels(*labels)._value.get())


def motion() -> Publish:
    return Publish(Kind.MOTION, 1, b"motion", 0)


async def test_publishing_after_the_scripts_are_gone(open_store) -> None:
    """Frames are appended under the same generation, whichever script is called, however often they go."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        before = count(SCRIPTS_SENT, "publish")
        for _ in range(5):
            await store.client.execute("SCRIPT", "FLUSH")
            writer.append([motion()], checkpoint=b"{}")
            await writer.drained()
        await store.client.execute("FLUSHALL")
        await store.client.execute("SCRIPT", "FLUSH")
        writer.restore("gone")
        await writer.drained()

        assert [entry for entry, _ in await store.entries(lease.keys.down)] == [
            f"{lease.generation}-{seq}" for seq in range(1, 6)
        ]
        assert not any(await store.registry().renew([lease]))
        assert store.lost == []
        assert count(SCRIPTS_SENT, "publish") >= before + 6


async def test_scripts_are_lost_during_traffic(open_store) -> None:
    """Many writers at once, and a flush in between at any moment: every frame once, in order."""
    async with open_store() as store, Publisher(store.url) as publisher:
        writers = [store.writer(publisher, await store.claim(await store.create())) for _ in range(20)]
        for turn in range(60):
            if turn % 3 == 0:
                publisher.client.submit(("SCRIPT", "FLUSH"))
            for writer in writers:
                writer.append([motion()], checkpoint=b"{}")
            await asyncio.sleep(0)
        for writer in writers:
            await writer.drained()
            ids = [entry for entry, _ in await store.entries(writer.lease.keys.down)]
            assert ids == [f"{writer.lease.generation}-{seq}" for seq in range(1, 61)]
        assert store.lost == []


async def test_what_is_sent_behind_a_lost_script_stays_behind_it(open_store) -> None:
    """A WAIT is sent again with the script, since its reply would not cover the script's writes."""
    async with (
        open_store() as store,
        Resp(store.url) as redis,
        RedisClient(redis.url, SCHEMA, name="wait") as client,
    ):
        keys = await store.create()
        await client.ready()
        await store.client.execute("SCRIPT", "FLUSH")
        redis.commands.clear()
        up = Uplink(client, UplinkLimits(replicas=1, replicas_wait_ms=1))
        speaking = up.append_speech(keys, key="k", offset=0, pcm=b"aa", end=True)
        spoken, other = await asyncio.gather(speaking, client.execute("ECHO", "x"), return_exceptions=True)

        assert isinstance(spoken, Unreplicated)
        assert other == b"x"
        assert redis.commands == ["ECHO", "EVALSHA", "WAIT", "EVAL", "WAIT"]
        assert await Uplink(client).find(keys, key="k") is not None


async def test_a_server_that_loads_no_scripts(open_store, eventually) -> None:
    """The client connects, scripts are sent as text, and frames arrive."""
    entries: list[object] = []
    async with open_store() as store, Resp(store.url) as redis:
        await store.client.execute("SCRIPT", "FLUSH")
        redis.instead |= {"SCRIPT": UNKNOWN, "SSUBSCRIBE": UNKNOWN}
        async with (
            Publisher(redis.url) as publisher,
            StreamConsumer(redis.url, name="slow", sweep_s=0.1) as consumer,
        ):
            await publisher.client.ready()
            lease = await store.claim(await store.create())
            consumer.subscribe(lease.keys.down, 0, "0-0", entries.extend, store.lost.append)
            writer = store.writer(publisher, lease)
            before = redis.commands.count("SSUBSCRIBE")
            for n in range(3):
                writer.append([motion()], checkpoint=b"{}")
                await eventually(lambda n=n: len(entries) == n + 1)

            assert consumer.connected
            assert before <= redis.commands.count("SSUBSCRIBE") <= before + 3
            assert count(REFUSALS, "slow-pubsub", "unknown-command") > 0
    assert store.lost == []
