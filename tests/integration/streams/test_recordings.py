"""Recordings in the store: claims, and which frames stay until they are copied."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.rigs.eventually import eventually

from relay_streams.errors import Missing
from relay_streams.publisher import Publisher
from relay_streams.recordings import KEEP_FINISHED_MS, Claim, Recordings
from relay_turns.effects import Publish
from relay_wire.frame import HEADER_BYTES, Kind, position_of
from relay_wire.position import START, Position

CHECKPOINT = b"{}"
FRAME_BYTES = 1000


def audio(turn: int, size: int = FRAME_BYTES - HEADER_BYTES) -> Publish:
    return Publish(Kind.AUDIO, turn, bytes([turn]) * size, 0)


class Rig:
    """A conversation with an owner, and the recordings of its store."""

    def __init__(self, store, publisher: Publisher, lease, claim_ms: int) -> None:
        self.store, self.lease, self.keys = store, lease, lease.keys
        self.writer = store.writer(publisher, lease)
        self.recordings = Recordings(store.client, store.keys, claim_ms=claim_ms)

    async def speak(self, *turns: int) -> None:
        for turn in turns:
            self.writer.append([audio(turn)], checkpoint=CHECKPOINT)
            await self.writer.drained()

    async def seqs(self) -> list[int]:
        return [int(entry.split("-")[1]) for entry, _ in await self.store.entries(self.keys.down)]

    async def field(self, name: str) -> int:
        return int(await self.store.client.execute("HGET", self.keys.meta, name) or 0)

    async def claim(self, worker: str = "a") -> Claim:
        claim = await self.recordings.claim(self.keys.id, worker)
        assert claim is not None
        return claim

    async def copy(self, claim: Claim, frames: int | None = None) -> bool:
        """Copy what is there, or so many frames of it."""
        page = await self.recordings.read(claim, claim.cursor, 1 << 20)
        copied = page.frames[:frames]
        return await self.recordings.advance(
            claim,
            cursor=position_of(copied[-1]),
            copied_bytes=sum(map(len, copied)),
            removed_bytes=page.removed_bytes,
        )


async def opened(
    stack: AsyncExitStack,
    open_store,
    *,
    retention: int = 1 << 20,
    claim_ms: int = 60_000,
    recorded: bool = True,
) -> Rig:
    store = await stack.enter_async_context(open_store())
    publisher = await stack.enter_async_context(Publisher(store.url, retention_bytes=retention))
    return Rig(store, publisher, await store.claim(await store.create(recorded=recorded)), claim_ms)


async def test_frames_stay_until_they_are_copied(open_store) -> None:
    """However many turns follow; then the current and the previous turn stay, as of any conversation."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        await rig.speak(1, 2, 3, 4)
        assert await rig.seqs() == [1, 2, 3, 4]

        claim = await rig.claim()
        assert await rig.copy(claim, frames=2)
        assert await rig.seqs() == [3, 4]

        await rig.speak(5)
        assert await rig.seqs() == [3, 4, 5]
        claim = claim._replace(cursor=Position(rig.lease.generation, 2))
        assert await rig.copy(claim)
        assert await rig.seqs() == [4, 5]
        assert await rig.field("rec_waiting") == 0

        await rig.speak(6)
        assert await rig.seqs() == [5, 6]


async def test_a_conversation_that_is_not_recorded_is_not_kept(open_store) -> None:
    """Its record has no field of a recording, and nobody can claim one."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store, recorded=False)
        await rig.speak(1, 2, 3, 4)

        assert await rig.seqs() == [3, 4]
        names = await rig.store.client.execute("HKEYS", rig.keys.meta)
        assert [name for name in names if name.startswith(b"rec")] == []
        assert await rig.recordings.claim(rig.keys.id, "a") is None


async def test_beyond_the_byte_limit_the_oldest_frames_go(open_store) -> None:
    """Those that wait count, exactly; one that was copied does not."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store, retention=3 * FRAME_BYTES)
        await rig.speak(1, 1, 1, 1, 1)
        assert await rig.seqs() == [3, 4, 5]
        assert (await rig.field("rec_waiting"), await rig.field("rec_removed")) == (3000, 2000)

        claim = await rig.claim()
        assert await rig.copy(claim)
        await rig.speak(1, 1, 1)
        assert await rig.seqs() == [6, 7, 8]
        assert (await rig.field("rec_waiting"), await rig.field("rec_removed")) == (3000, 2000)


async def test_frames_that_are_removed_while_they_are_copied_count_once(open_store) -> None:
    """The bytes that wait stay exact: an error here would remove frames too early later on."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store, retention=3 * FRAME_BYTES)
        await rig.speak(1, 1, 1)
        claim = await rig.claim()
        page = await rig.recordings.read(claim, START, 1 << 20)
        await rig.speak(1, 1)
        assert await rig.recordings.advance(
            claim,
            cursor=position_of(page.frames[-1]),
            copied_bytes=sum(map(len, page.frames)),
            removed_bytes=page.removed_bytes,
        )

        assert await rig.field("rec_waiting") == 2000
        assert len(page.frames) == 3


async def test_a_page_is_bounded_in_bytes(open_store) -> None:
    """It has one frame at least, and ends with the frame that reaches the bound."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        await rig.speak(*[1] * 40)
        claim = await rig.claim()

        assert len((await rig.recordings.read(claim, START, 1)).frames) == 1
        assert len((await rig.recordings.read(claim, START, 20 * FRAME_BYTES)).frames) == 20
        assert len((await rig.recordings.read(claim, START, 1 << 20)).frames) == 40


async def test_the_bytes_that_wait_are_those_of_all_owners(open_store) -> None:
    """The limit holds over a change of owners."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store, retention=4 * FRAME_BYTES)
        await rig.speak(1, 2, 3)
        await rig.store.registry().release(rig.lease)
        publisher = await stack.enter_async_context(Publisher(rig.store.url, retention_bytes=4 * FRAME_BYTES))
        lease = await rig.store.claim(rig.keys, "second")
        second = rig.store.writer(publisher, lease)
        for _ in range(2):
            second.append([audio(4)], checkpoint=CHECKPOINT)
            await second.drained()

        entries = [entry for entry, _ in await rig.store.entries(rig.keys.down)]
        first = rig.lease.generation
        assert entries == [f"{first}-2", f"{first}-3", f"{lease.generation}-1", f"{lease.generation}-2"]


async def test_one_worker_has_the_claim(open_store) -> None:
    """Another gets none until it is returned; the writes of a lost claim change nothing."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        await rig.speak(1)
        claim = await rig.claim("a")
        assert await rig.recordings.claim(rig.keys.id, "b") is None
        assert await rig.recordings.release(claim, next_ms=5000)

        other = await rig.claim("b")
        assert not await rig.copy(claim)
        assert not await rig.recordings.release(claim, next_ms=None)
        assert await rig.copy(other)


async def test_the_claim_of_a_worker_that_died_ends(open_store) -> None:
    """Then the recording is due, and another worker gets it."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store, claim_ms=50)
        await rig.speak(1)
        await rig.claim("a")
        partition = rig.store.keys.shared(rig.keys.partition)

        due = await eventually(lambda: rig.recordings.due(partition, 10))

        assert [(each.conversation, each.has_work, each.has_ended) for each in due] == [
            (rig.keys.id, True, False)
        ]
        assert (await rig.claim("b")).token == "b"


async def test_what_is_due(open_store) -> None:
    """A recording from its registration on, with or without work, until it is finished."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        partition = rig.store.keys.shared(rig.keys.partition)
        await rig.recordings.register(rig.keys.id, within_ms=0)
        await asyncio.sleep(0.002)
        assert [each.has_work for each in await rig.recordings.due(partition, 10)] == [False]
        await rig.speak(1)
        assert [each.has_work for each in await rig.recordings.due(partition, 10)] == [True]
        assert await rig.recordings.due(partition, 0) == []

        await rig.recordings.postpone(partition, [rig.keys.id, "unknown"], 60_000)
        assert await rig.recordings.due(partition, 10) == []
        assert await rig.recordings.count(partition) == 1

        claim = await rig.claim()
        assert not claim.is_copied
        assert await rig.copy(claim)
        assert await rig.recordings.is_pending(rig.keys.id)
        assert await rig.recordings.release(claim, next_ms=None)
        assert not await rig.recordings.is_pending(rig.keys.id)
        assert await rig.recordings.claim(rig.keys.id, "c") is None
        assert await rig.field("record") == 1


async def test_a_registration_without_a_conversation_ends(open_store) -> None:
    """Its creation may fail after it."""
    async with open_store() as store:
        recordings = Recordings(store.client, store.keys, claim_ms=1000)
        await recordings.register("01NOTCREATED", within_ms=0)
        partition = store.keys.shared(store.keys.partition("01NOTCREATED"))
        await asyncio.sleep(0.002)
        assert [each.has_work for each in await recordings.due(partition, 10)] == [True]

        with pytest.raises(Missing):
            await recordings.claim("01NOTCREATED", "a")
        assert await recordings.count(partition) == 0
        assert await recordings.claim("01NOTCREATED", "a") is None


async def test_the_frames_of_a_finished_recording_go_soon(open_store) -> None:
    """They had stayed for long, for the case that no worker ran."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        await rig.speak(1)
        registry = rig.store.registry()
        await registry.finish(rig.lease, keep_frames_ms=3_600_000, keep_record_ms=3_600_000)

        claim = await rig.claim()
        assert await rig.copy(claim)
        assert await rig.recordings.release(claim, next_ms=None)

        assert 0 < await rig.store.client.execute("PTTL", rig.keys.down) <= KEEP_FINISHED_MS


async def test_damaged_fields_of_a_recording_cost_no_frame(open_store) -> None:
    """Publishing goes on, and the recording begins anew."""
    async with AsyncExitStack() as stack:
        rig = await opened(stack, open_store)
        damage = ("rec_cursor", "?", "rec_waiting", "many", "rec_removed", "-", "rec_until", "x")
        await rig.store.client.execute("HSET", rig.keys.meta, *damage)
        await rig.speak(1, 2, 3)

        claim = await rig.claim()

        assert claim.cursor == START
        assert await rig.copy(claim)
        assert await rig.seqs() == [2, 3]
        assert rig.store.lost == []
