"""The outbox of an owner: what happened, with the frames that say so, also when owners die."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_streams.conversations import read
from relay_streams.keys import ConversationKeys
from relay_streams.outbox import OutboxConsumer, OutboxEvent
from relay_wire.frame import Kind
from relay_wire.uplink import Close

SECOND = bytes(32_000)


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``: workers with jobs."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        values = {"jobs": True, "outbox_entries": 1000, "lease_ms": 400, **settings}
        async with open_store() as store, open_workers(store, **values) as opened:
            yield opened

    return made


async def speak(b: WorkerRig, keys: ConversationKeys, *, turn: int = 0, end: bool = True) -> int:
    """A second of a new turn, or the second one of a turn."""
    appended = await b.up.append_speech(
        keys, turn=turn, offset=len(SECOND) if turn else 0, pcm=SECOND, end=end, barge_in=not turn
    )
    return appended.turn


async def outbox(b: WorkerRig) -> list[OutboxEvent]:
    """All that waits, with internal events."""
    consumer = OutboxConsumer(b.store.client, b.store.keys, consumer="test", limit=1000, reclaim_ms=0)
    return await consumer.read()


async def until(b: WorkerRig, kind: str, count: int = 1) -> list[OutboxEvent]:
    """Wait until so many events of a type are there; returns all events."""
    return await eventually(
        lambda: outbox(b), 20, until=lambda found: sum(event.type == kind for event in found) >= count
    )


def data_of(events: list[OutboxEvent], kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in events if event.type == kind]


async def test_a_whole_conversation(bench) -> None:
    """Start, turn and end are there once, in order, with the ids of their frames and what the frames have."""
    async with bench() as b, b.worker():
        keys = await b.store.create(creator="key-1", outbox_entries=1000)
        turn = await speak(b, keys)
        assert await b.until_outcome(keys, turn) == "complete"
        frames = [frame for frame in await b.frames(keys) if frame.turn == turn]
        await b.up.append(keys, Close("deleted"))
        await until(b, "conversation.ended")
        events = await until(b, "motion.closed")

        public = [event for event in events if event.order]
        assert [(event.order, event.type) for event in public] == [
            (1, "conversation.started"), (2, "turn.ended"), (3, "conversation.ended"),
        ]  # fmt: skip
        entries = await b.store.entries(keys.down)
        assert public[2].id == f"{keys.id}.{entries[-1][0]}"
        assert {event.key_id for event in events} == {"key-1"}
        [ended] = data_of(events, "turn.ended")
        assert (ended["outcome"], ended["frames"], ended["audio_bytes"]) == (
            "complete", len(frames), len(SECOND),
        )  # fmt: skip
        assert ended["motion_bytes"] == sum(len(f.payload) for f in frames if f.kind is Kind.MOTION)
        assert ended["first_audio_ms"] >= 0
        [opened], [closed] = data_of(events, "motion.opened"), data_of(events, "motion.closed")
        assert closed["session"] == opened["session"]
        assert closed["opened_ms"] == opened["opened_ms"]
        assert closed["seconds"] > 0
        assert closed["credits"] == 1


async def test_a_turn_that_crosses_owners(bench) -> None:
    """Its numbers are those of all its frames; the next owner records the end of the dead one's session."""
    async with bench() as b, AsyncExitStack() as stack:
        keys = await b.store.create(outbox_entries=1000)
        first = await stack.enter_async_context(b.worker(worker_name="first"))
        turn = await speak(b, keys, end=False)
        await until(b, "motion.opened")
        await eventually(lambda: has_motion(b, keys), 20)
        first._owners[keys.id].writer.close()  # it dies: nothing more of it arrives
        first._owners[keys.id].sessions._outbox_entries = 0
        first._owners[keys.id].stop()
        del first._owners[keys.id]
        first._draining = True

        async with b.worker(worker_name="second"):
            await eventually(lambda: owned_by(b, keys, "second"), 20)
            await speak(b, keys, turn=turn)
            assert await b.until_outcome(keys, turn) == "audio_only"
            events = await until(b, "motion.closed")
            state = await read(b.store.client, keys)

        frames = [frame for frame in await b.frames(keys) if frame.turn == turn]
        [ended] = data_of(events, "turn.ended")
        assert (ended["frames"], ended["audio_bytes"]) == (len(frames), 2 * len(SECOND))
        assert ended["motion_bytes"] == sum(len(f.payload) for f in frames if f.kind is Kind.MOTION) > 0
        assert ended["owner_changes"] == 1
        [degraded] = data_of(events, "conversation.degraded")
        assert degraded == {"turn": turn, "reason": "owner_changed"}
        [closed] = data_of(events, "motion.closed")
        assert closed["estimated"]
        assert closed["session"] == data_of(events, "motion.opened")[0]["session"]
        assert state.motion == f"0 {closed['session']}"


async def has_motion(b: WorkerRig, keys: ConversationKeys) -> bool:
    return any(frame.kind is Kind.MOTION for frame in await b.frames(keys))


async def owned_by(b: WorkerRig, keys: ConversationKeys, name: str) -> bool:
    return (await read(b.store.client, keys)).owner == name


async def test_motion_comes_back(bench) -> None:
    """The next turn has motion again, and the outbox an event for it."""
    async with bench() as b, AsyncExitStack() as stack:
        keys = await b.store.create(outbox_entries=1000)
        async with b.worker(SPATIUS_API_KEY="wrong"):
            assert await b.until_outcome(keys, await speak(b, keys)) == "audio_only"
            await until(b, "turn.ended")
        await stack.enter_async_context(b.worker())
        assert await b.until_outcome(keys, await speak(b, keys)) == "complete"

        events = await until(b, "turn.ended", 2)
        assert [event.type for event in events if event.order] == [
            "conversation.started", "conversation.degraded", "turn.ended", "conversation.recovered",
            "turn.ended",
        ]  # fmt: skip
        assert [event.order for event in events if event.order] == [1, 2, 3, 4, 5]


async def test_without_jobs(bench) -> None:
    """Nothing is written: no key of the outbox, no field of the record, nothing in the checkpoint."""
    async with bench(jobs=False) as b, b.worker():
        keys = await b.store.create()
        assert await b.until_outcome(keys, await speak(b, keys)) == "complete"

        fields = await b.store.client.execute("HGETALL", keys.meta)
        record = dict(zip(fields[::2], fields[1::2], strict=True))
        assert not {b"events", b"viewer_ms", b"motion"} & record.keys()
        assert b"frames" not in record[b"checkpoint"]
        assert await b.store.client.execute("KEYS", "*outbox*") == []
