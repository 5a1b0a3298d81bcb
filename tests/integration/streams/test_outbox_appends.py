"""Appending to the outbox: with the frame it tells of, once, in order, and within the bound."""

from typing import Any

import pytest
from tests.rigs.store import Store

from relay_streams.conversations import read
from relay_streams.errors import Fenced
from relay_streams.leases import Lease
from relay_streams.outbox import OutboxConsumer, OutboxEvent
from relay_streams.publisher import Publisher
from relay_streams.scripts.call import run
from relay_streams.scripts.publish import FrameEvent, publish
from relay_turns.effects import Publish
from relay_wire.frame import Kind
from relay_wire.position import START

TRACE = f"00-{'1' * 32}-{'2' * 16}-01"


def audio(size: int = 10) -> Publish:
    return Publish(Kind.AUDIO, 1, bytes(size), 0)


async def events_of(store: Store, *, reclaim_ms: int = 0) -> list[OutboxEvent]:
    """All that waits."""
    return await OutboxConsumer(
        store.client, store.keys, consumer="test", limit=10_000, reclaim_ms=reclaim_ms
    ).read()


async def repeatable(store: Store, lease: Lease, *, entries: int = 100, **changed: Any) -> int:
    """One call of two frames with an event each."""
    g = lease.generation
    values: dict[str, Any] = {
        "generation": g, "first_seq": 1, "turn": 1, "turn_first": START, "turn_before": START,
        "trim_to": None, "uplink_cursor": "", "checkpoint": b"", "turn_phase": "idle", "turn_ends_at_ms": 0,
        "frames": [b"one", TRACE, b"two", ""],
        "events": [FrameEvent(1, "turn.ended", b'{"turn":1}'), FrameEvent(2, "conversation.ended", b"{}")],
        "outbox_entries": entries,
    }  # fmt: skip
    return await run(store.client, publish(lease.keys, **{**values, **changed}))


async def test_a_conversation_that_starts(open_store) -> None:
    """Its first event is appended as it is created, with what it is; a repeated creation appends nothing."""
    async with open_store() as store:
        keys = await store.create(creator="key-1", outbox_entries=100)

        [event] = await events_of(store)
        assert (event.id, event.order, event.type) == (f"{keys.id}.0-0", 1, "conversation.started")
        assert (event.conversation, event.partition, event.key_id) == (keys.id, keys.partition, "key-1")
        assert event.data == b'{"avatar_id":"ava","sample_rate":16000,"agent":"push"}'
        assert (await read(store.client, keys)).events == 1


async def test_without_jobs_nothing_is_written(open_store) -> None:
    """No key of the outbox exists, and no field of the record."""
    async with open_store() as store, Publisher(store.url) as publisher:
        lease = await store.claim(await store.create())
        writer = store.writer(publisher, lease)
        writer.append([audio()], checkpoint=b"{}")
        await writer.drained()

        keys = lease.keys
        assert await store.client.execute("EXISTS", keys.outbox, key=keys.outbox) == 0
        assert await store.client.execute("EXISTS", keys.outbox_discarded) == 0
        assert await store.client.execute("HGET", keys.meta, "events") is None


async def test_events_come_with_their_frames(open_store) -> None:
    """Ids are positions, the order follows the conversation's, a sampled frame gives its trace."""
    async with open_store() as store, Publisher(store.url, outbox_entries=100) as publisher:
        keys = await store.create(creator="key-1", outbox_entries=100)
        await store.client.execute("HSET", keys.meta, "viewer_ms", 1500)
        lease = await store.claim(keys)
        writer = store.writer(publisher, lease)
        writer.append([audio()], checkpoint=b"{}")
        writer.append([audio(), audio()], checkpoint=b"{}", traces=["", TRACE], events=[(1, "a", b'{"x":1}')])
        writer.append([audio()], checkpoint=b"{}", events=[(0, "b", b"{}")])
        await writer.drained()

        started, first, second = await events_of(store)
        g = lease.generation
        assert (started.order, started.viewer_ms) == (1, 0)
        assert (first.id, first.order, first.type, first.data) == (f"{keys.id}.{g}-3", 2, "a", b'{"x":1}')
        assert (first.trace.encode(), first.key_id, first.viewer_ms) == (TRACE, "key-1", 1500)
        assert (second.id, second.order, second.trace.encode()) == (f"{keys.id}.{g}-4", 3, "")


async def test_a_repeated_publish_repeats_no_event(open_store) -> None:
    """As a whole, and from its second frame on."""
    async with open_store() as store:
        lease = await store.claim(await store.create())
        for first_seq in (1, 1):
            assert await repeatable(store, lease, first_seq=first_seq) == 2
        await repeatable(
            store, lease, first_seq=2, frames=[b"two", "", b"three", ""],
            events=[FrameEvent(2, "conversation.ended", b"{}"), FrameEvent(3, "more", b"{}")],
        )  # fmt: skip

        events = await events_of(store)
        assert [(event.type, event.order) for event in events] == [
            ("turn.ended", 1), ("conversation.ended", 2), ("more", 3),
        ]  # fmt: skip


async def test_an_owner_that_died_before_its_answer(open_store) -> None:
    """The next owner finds frame and event, both, and adds nothing; the old one is fenced with its event."""
    async with open_store() as store:
        keys = await store.create()
        lease = await store.claim(keys, lease_ms=200)
        await repeatable(store, lease)
        await store.client.execute("DEL", keys.lease)
        await store.client.execute("XADD", keys.unowned, "*", "c", keys.id)
        after = await store.claim(keys, "other")

        assert after.conversation.events == 2
        assert str(after.conversation.last_position) == f"{lease.generation}-2"
        with pytest.raises(Fenced):
            await repeatable(store, lease, first_seq=3)
        assert len(await events_of(store)) == 2


async def test_a_fail_over_that_lost_the_tail(open_store) -> None:
    """The frames and their events are appended again, with the same ids and the same numbers."""
    async with open_store() as store, Publisher(store.url, outbox_entries=100) as publisher:
        keys = await store.create(outbox_entries=100)
        lease = await store.claim(keys)
        writer = store.writer(publisher, lease)
        writer.append([audio()], checkpoint=b"{}", events=[(0, "a", b"{}")])
        await writer.drained()
        go_back = await store.snapshot(keys)
        for name in ("b", "c"):
            writer.append([audio()], checkpoint=b"{}", events=[(0, name, b"{}")])
            await writer.drained()
        before = [event[:5] for event in await events_of(store)]

        await go_back()
        assert len(await events_of(store)) == 2
        writer.append([audio()], checkpoint=b"{}", events=[(0, "d", b"{}")])
        await writer.drained()

        events = await events_of(store)
        assert [event[:5] for event in events[:4]] == before
        assert [(event.type, event.order) for event in events[2:]] == [("b", 3), ("c", 4), ("d", 5)]


async def test_a_server_that_lost_everything(open_store) -> None:
    """What can be appended again is, with its numbers: they do not begin anew."""
    async with (
        open_store() as store,
        Publisher(store.url, republish_bytes=60, outbox_entries=9) as publisher,
    ):
        lease = await store.claim(await store.create(outbox_entries=100))
        writer = store.writer(publisher, lease)
        for name in ("a", "b"):
            writer.append([audio()], checkpoint=b"{}", events=[(0, name, b"{}")])
            await writer.drained()

        await store.client.execute("FLUSHALL")
        writer.restore("gone")
        await writer.drained()

        assert [(event.type, event.order) for event in await events_of(store)] == [("b", 3)]


async def test_the_bound(open_store) -> None:
    """The oldest entries go and are counted; the frames are all there."""
    async with open_store() as store, Publisher(store.url, outbox_entries=100) as publisher:
        lease = await store.claim(await store.create(outbox_entries=100))
        writer = store.writer(publisher, lease)
        for _ in range(149):
            writer.append([audio()], checkpoint=b"{}", events=[(0, "a", b"{}")])
        await writer.drained()

        consumer = OutboxConsumer(store.client, store.keys, consumer="test", limit=1000)
        assert [event.order for event in await consumer.read()] == list(range(51, 151))
        assert (await consumer.state())[::2] == (100, 50)
        assert len(await store.entries(lease.keys.down)) == 149


async def test_an_outbox_that_is_damaged(open_store) -> None:
    """Foreign keys and values in its place delay no frame, and only what cannot be written is missing."""
    async with open_store() as store, Publisher(store.url, outbox_entries=100) as publisher:
        lease = await store.claim(await store.create())
        keys = lease.keys
        writer = store.writer(publisher, lease)
        await store.client.execute("SET", keys.outbox, "foreign")
        await store.client.execute("SET", keys.outbox_discarded, "foreign")
        await store.client.execute("HSET", keys.meta, "events", "foreign")
        writer.append([audio()], checkpoint=b"{}", events=[(0, "a", b"{}")])
        await writer.drained()
        assert [(event.type, event.order) for event in await events_of(store)] == [("a", 1)]

        await store.client.execute("XADD", keys.outbox, f"{2**64 - 1}-{2**64 - 1}", "last", "id")
        writer.append([audio()], checkpoint=b"{}", events=[(0, "b", b"{}")])
        await writer.drained()
        assert await store.client.execute("GET", keys.outbox_discarded) == b"1"
        assert len(await store.entries(keys.down)) == 2
        assert not store.lost
