"""Restoring: what an owner does when the store has lost what it had acknowledged; on every server."""

import asyncio
import itertools

import pytest

from relay_streams.conversations import read
from relay_streams.errors import Fenced
from relay_streams.leases import UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.uplink import Uplink
from relay_turns.effects import Publish
from relay_turns.state import TurnState
from relay_wire.frame import Kind
from relay_wire.position import Position

_numbers = itertools.count()


def audio(turn: int = 1, size: int = 10) -> Publish:
    return Publish(Kind.AUDIO, turn, next(_numbers).to_bytes(4) + bytes(size), 0)


async def append(writer, *publishes: Publish, checkpoint: bytes = b"{}", uplink_cursor: str = "") -> None:
    """Append, and wait until it is acknowledged."""
    writer.append(publishes, checkpoint=checkpoint, uplink_cursor=uplink_cursor)
    await writer.drained()


async def test_a_lost_tail_is_written_again(open_store) -> None:
    """After a fail-over that lost the last frames: the same ids, the same bytes, then the new ones."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        await append(writer, audio(), audio())
        go_back = await store.snapshot(lease.keys)
        await append(writer, audio())
        await append(writer, audio(), audio(), checkpoint=TurnState(turn=5).encode(), uplink_cursor="7-7")
        before = await store.entries(lease.keys.down)
        await go_back()
        assert len(await store.entries(lease.keys.down)) == 2

        await append(writer, audio(), checkpoint=TurnState(turn=6).encode())

        after = await store.entries(lease.keys.down)
        assert after[:5] == before
        assert [entry for entry, _ in after] == [f"{lease.generation}-{seq}" for seq in range(1, 7)]
        record = await read(store.client, lease.keys)
        assert (record.last_position, record.uplink_cursor) == (Position(lease.generation, 6), "7-7")
        assert record.checkpoint == TurnState(turn=6).encode()
        assert writer.backlog_bytes == 0
        assert store.lost == []


async def test_a_silent_owner_restores_the_tail_too(open_store) -> None:
    """A renewal finds the claim gone: frames and state come back although no frame is published."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        go_back = await store.snapshot(keys)
        lease = await store.claim(keys)
        writer = store.writer(publisher, lease)
        await append(writer, audio(), audio(), checkpoint=TurnState(turn=2).encode(), uplink_cursor="7-7")
        before = await store.entries(keys.down)
        await go_back()

        assert await store.registry().renew([lease]) == ([], [keys.id], [])
        writer.restore("gone")
        await writer.drained()

        assert await store.registry().renew([lease]) == ([], [], [])
        assert await store.entries(keys.down) == before
        record = await read(store.client, keys)
        assert (record.generation, record.owner) == (lease.generation, "worker")
        assert record.checkpoint == TurnState(turn=2).encode()


@pytest.mark.parametrize("loss", ["record", "stream", "everything"])
async def test_a_store_that_lost_its_data_is_filled_again(open_store, loss) -> None:
    """Record, lease and frames come back, and the conversation continues."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create(sample_rate=24000))
        writer = store.writer(publisher, lease)
        await append(writer, audio(), audio(), checkpoint=TurnState(turn=2).encode(), uplink_cursor="7-7")
        before, was = await store.entries(lease.keys.down), await read(store.client, lease.keys)
        match loss:
            case "record":
                await store.client.execute("DEL", lease.keys.meta)
            case "stream":
                await store.client.execute("DEL", lease.keys.down)
            case "everything":
                await store.client.execute("FLUSHALL")

        if loss != "stream":
            assert await store.registry().renew([lease]) == ([], [lease.keys.id], [])
        writer.restore("gone")
        await writer.drained()
        restored = await read(store.client, lease.keys)
        assert restored == was._replace(input_turn=0, input_offset=0)
        await append(writer, audio())

        after = await store.entries(lease.keys.down)
        assert after[:2] == before
        assert len(after) == 3
        assert await store.client.execute("GET", lease.keys.lease) == lease.value.encode()


async def test_what_memory_has_no_more_is_a_hole_that_shows(open_store) -> None:
    """Bounded in bytes: the newest frames come back, under their own ids."""
    async with open_store() as store, Publisher(store.url, republish_bytes=1000) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        for _ in range(10):
            await append(writer, audio(size=200))
        await store.client.execute("FLUSHALL")
        await append(writer, audio(size=200))

        entries = [entry for entry, _ in await store.entries(lease.keys.down)]
        assert entries == [f"{lease.generation}-{seq}" for seq in range(7, 12)]
        assert (await read(store.client, lease.keys)).last_position == Position(lease.generation, 11)


async def test_old_frames_are_discarded(open_store) -> None:
    """Bounded in age: an owner that has long been silent holds nothing, and continues without it."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        await append(writer, audio(), audio())
        writer.trim(before=float("inf"))
        await store.client.execute("FLUSHALL")
        await append(writer, audio())

        assert [entry for entry, _ in await store.entries(lease.keys.down)] == [f"{lease.generation}-3"]


async def test_a_claim_that_redis_lost_stands(open_store) -> None:
    """A fail-over that lost a take-over: the new owner stays, the old one is fenced by it."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        old_lease = await store.claim(keys, "old")
        old = store.writer(publisher, old_lease)
        await append(old, audio())
        go_back = await store.snapshot(keys)
        await store.registry("old").release(old_lease)
        lease = await store.claim(keys, "new")
        new = store.writer(publisher, lease)
        await append(new, audio())
        await go_back()

        await append(new, audio())
        assert store.lost == []
        await append(old, audio())

        assert [(type(error), error.generation) for error in store.lost] == [(Fenced, lease.generation)]
        assert [entry for entry, _ in await store.entries(keys.down)] == [
            f"{old_lease.generation}-1", f"{lease.generation}-1", f"{lease.generation}-2",
        ]  # fmt: skip
        assert await store.registry("old").renew([old_lease]) == ([keys.id], [], [])


async def test_an_old_owner_restores_nothing_over_a_newer_one(open_store) -> None:
    """Whoever restores first after a loss, the larger generation stays."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        old_lease = await store.claim(keys, "old")
        old = store.writer(publisher, old_lease)
        await store.registry("old").release(old_lease)
        lease = await store.claim(keys, "new")
        new = store.writer(publisher, lease)
        await append(new, audio())
        await store.client.execute("FLUSHALL")

        await append(old, audio())
        await append(new, audio())
        await append(old, audio())

        assert [type(error) for error in store.lost] == [Fenced]
        assert (await read(store.client, keys)).generation == lease.generation


async def test_new_input_comes_after_what_was_read(open_store) -> None:
    """The up stream's ids continue after the owner's cursor, though the new store's clock may be behind."""
    ahead = "9999999999999-5"
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease, UplinkProgress(ahead, 3, 640, "open", "k"))
        await append(writer, audio(3))
        await store.client.execute("FLUSHALL")
        writer.restore("gone")
        await writer.drained()

        record = await read(store.client, lease.keys)
        assert (record.input_turn, record.input_offset, record.input_state) == (3, 640, "open")
        spoken = await Uplink(store.client).append_speech(
            lease.keys, turn=3, offset=640, pcm=b"abcd", end=True
        )
        assert spoken == (3, 644)
        [(entry, _)] = await store.entries(lease.keys.up)
        assert entry == "9999999999999-6"


async def test_a_generation_is_never_issued_again(open_store) -> None:
    """Without the key that names it, the stream's last id keeps the next generation larger."""
    async with open_store() as store, Publisher(store.url) as publisher:
        keys = await store.create()
        lease = await store.claim(keys)
        far = lease._replace(generation=lease.generation + 10_000_000)
        await store.client.execute("HSET", keys.meta, "generation", far.generation)
        await append(store.writer(publisher, far), audio())
        await store.registry().release(lease)
        await store.client.execute("HDEL", keys.meta, "generation", "tail")

        assert (await store.claim(keys, "next")).generation == far.generation + 1


async def test_a_restore_overtakes_a_call_under_way(open_store) -> None:
    """A renewal finds the loss while frames are on their way: each appears once, in order."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        await append(writer, audio(), audio())
        for _ in range(20):
            await store.client.execute("FLUSHALL")
            writer.append([audio()], checkpoint=b"{}")
            await asyncio.sleep(0)  # the call leaves
            writer.restore("gone")
            writer.append([audio()], checkpoint=b"{}")
            await writer.drained()

        entries = await store.entries(lease.keys.down)
        assert [entry for entry, _ in entries] == [f"{lease.generation}-{seq}" for seq in range(1, 43)]
        assert writer.backlog_bytes == 0
        assert store.lost == []
