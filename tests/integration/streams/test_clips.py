"""Clips in the store: created once, claimed by one, rendered whole or not at all; on every server."""

import asyncio
import time
from typing import Any

import pytest

from relay_settings.clips import ClipSettings
from relay_streams.clips import Clip, Clips
from relay_streams.conversations import fields_of
from relay_streams.errors import Missing
from relay_wire.clips import ClipChunk

PCM = bytes(range(256)) * 10
CHUNKS = [
    ClipChunk(bytes([number]) * 4, (bytes([number]), b"m") if number % 3 else ()) for number in range(40)
]
CLAIM_MS = 30_000


def clips_of(store: Any, *, jobs: bool = True) -> Clips:
    return Clips(store.client, store.keys, ClipSettings.load(jobs=jobs))


async def create(
    clips: Clips, clip: str = "clip-1", *, creator: str = "app1", digest: str = "d"
) -> str | None:
    return await clips.create(
        clip, creator=creator, avatar_id="ava", sample_rate=16000, digest=digest, pcm=PCM
    )


async def outbox(store: Any, clip: str = "clip-1") -> list[dict[bytes, bytes]]:
    entries = await store.client.execute("XRANGE", store.keys.clip(clip).outbox, "-", "+")
    return [fields_of(fields) for _, fields in entries]


async def claimed(clips: Clips, token: str = "t1") -> Clip:  # noqa: S107  # a name
    assert await clips.claim("clip-1", token=token, claim_ms=CLAIM_MS) is not None
    return await clips.record("clip-1")


async def due(store: Any, clips: Clips, *, in_s: float = 0) -> list[str]:
    partition = store.keys.partition("clip-1")
    return await clips.due(partition, int((time.time() + in_s) * 1000) + 1000)


async def test_a_clip_is_created_once(open_store) -> None:
    """It is due at once, and the outbox has one internal entry, however often the request is repeated."""
    async with open_store() as store:
        clips = clips_of(store)

        assert [await create(clips), await create(clips), await create(clips, digest="x")] == [None, "d", "d"]

        record = await clips.read("clip-1", "app1")
        assert record == Clip(
            "clip-1", "queued", "app1", "ava", 16000, record.created_ms, len(PCM), digest="d"
        )  # fmt: skip
        assert await clips.audio("clip-1") == PCM
        assert await clips.usage("app1") == (1, len(PCM))
        assert await due(store, clips) == ["clip-1"]
        (entry,) = await outbox(store)
        assert entry == {
            b"id": f"clip-1.{record.created_ms}.requested".encode(), b"k": b"clip.requested", b"c": b"clip-1",
            b"a": b"app1", b"d": b"{}",
        }  # fmt: skip


async def test_clips_belong_to_their_key(open_store) -> None:
    """Another key neither reads nor lists them."""
    async with open_store() as store:
        clips = clips_of(store)
        for number, creator in enumerate(("app1", "app2", "app1")):
            await create(clips, f"clip-{number}", creator=creator)

        assert {clip.id for clip in await clips.list_of("app1")} == {"clip-0", "clip-2"}
        assert await clips.usage("app1", without="clip-0") == (1, len(PCM))
        with pytest.raises(Missing):
            await clips.read("clip-1", "app1")
        with pytest.raises(Missing):
            await clips.read("other", "app1")


async def test_one_attempt_has_the_claim(open_store) -> None:
    """Of attempts at once one claims; nobody else does while the claim holds, and then it is due again."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        attempts = (clips.claim("clip-1", token=str(n), claim_ms=CLAIM_MS) for n in range(5))

        found = [claim for claim in await asyncio.gather(*attempts) if claim is not None]

        assert [(claim.attempt, claim.conversation) for claim in found] == [(1, "")]
        assert await due(store, clips) == []
        assert await due(store, clips, in_s=31) == ["clip-1"]
        assert (await clips.record("clip-1")).state == "rendering"
        assert await clips.claim("none", token="t", claim_ms=CLAIM_MS) is None


async def test_an_expired_claim_is_overtaken(open_store) -> None:
    """The next attempt learns of the conversation before, and what the old one writes is refused."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        assert await clips.claim("clip-1", token="old", claim_ms=0) is not None
        assert await clips.renew("clip-1", token="old", claim_ms=0, conversation="conv-1", progress="0.5")

        claim = await clips.claim("clip-1", token="new", claim_ms=CLAIM_MS)
        record = await clips.record("clip-1")

        assert claim == ("new", 2, "conv-1")
        assert record.progress == 0.5
        assert not await clips.renew("clip-1", token="old", claim_ms=CLAIM_MS, progress="1")
        assert not await clips.store("clip-1", token="old", chunks=CHUNKS)
        assert not await clips.finish(record, token="old", state="ready", progress="1")
        assert (await clips.record("clip-1"), await clips.chunks("clip-1")) == (record, [])


async def test_a_rendered_clip(open_store) -> None:
    """It has its chunks alone, is due no more, counts what it occupies, and an event with an order number."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        record = await claimed(clips)
        await clips.store("clip-1", token="t1", chunks=CHUNKS[:20])

        assert await clips.store("clip-1", token="t1", chunks=CHUNKS)
        assert await clips.finish(
            record, token="t1", state="ready", data=b'{"x":1}', progress="1", size_bytes=77, chunk_bytes=4
        )

        ready = await clips.record("clip-1")
        assert (ready.state, ready.progress, ready.size_bytes, ready.chunk_bytes) == ("ready", 1.0, 77, 4)
        assert await clips.chunks("clip-1") == CHUNKS
        assert await clips.audio("clip-1") == b""
        assert await clips.usage("app1") == (1, 77)
        assert await due(store, clips, in_s=99) == []
        entry = (await outbox(store))[-1]
        assert (entry[b"k"], entry[b"n"], entry[b"d"]) == (b"clip.ready", b"1", b'{"x":1}')
        assert await clips.claim("clip-1", token="t2", claim_ms=CLAIM_MS) is None


async def test_a_clip_that_failed(open_store) -> None:
    """It has neither audio nor chunks, and counts as a clip without bytes."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        record = await claimed(clips)
        await clips.store("clip-1", token="t1", chunks=CHUNKS)
        assert await clips.finish(record, token="t1", state="failed", reason="no_motion")

        failed = await clips.record("clip-1")
        assert (failed.state, failed.reason) == ("failed", "no_motion")
        assert (await clips.audio("clip-1"), await clips.chunks("clip-1")) == (b"", [])
        assert await clips.usage("app1") == (1, 0)
        assert [entry[b"k"] for entry in await outbox(store)] == [b"clip.requested", b"clip.failed"]


async def test_a_clip_that_is_tried_again(open_store) -> None:
    """It keeps its audio, nobody claims it during the pause, and no event is sent."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        record = await claimed(clips)
        assert await clips.finish(record, token="t1", state="queued", delay_ms=60_000, reason="timeout")

        assert (await clips.record("clip-1")).state == "queued"
        assert await clips.claim("clip-1", token="t2", claim_ms=CLAIM_MS) is None
        assert (await due(store, clips), await due(store, clips, in_s=61)) == ([], ["clip-1"])
        assert await clips.audio("clip-1") == PCM
        assert len(await outbox(store)) == 1


async def test_a_cancelled_clip(open_store) -> None:
    """Whoever renders it writes nothing more; a second deletion removes it."""
    async with open_store() as store:
        clips = clips_of(store)
        await create(clips)
        record = await claimed(clips)

        assert await clips.delete(record) == "cancelled"
        assert not await clips.renew("clip-1", token="t1", claim_ms=CLAIM_MS)
        assert not await clips.store("clip-1", token="t1", chunks=CHUNKS)
        assert (await clips.record("clip-1")).state == "cancelled"
        assert await due(store, clips, in_s=99) == []
        assert await clips.delete(record) == "removed"
        assert await clips.delete(record) == "missing"
        assert await clips.list_of("app1") == []
        assert await clips.usage("app1") == (0, 0)


async def test_without_jobs_there_is_no_outbox(open_store) -> None:
    """Nothing would read it."""
    async with open_store() as store:
        await create(clips_of(store, jobs=False))

        assert await outbox(store) == []


async def test_the_outbox_is_bounded(open_store) -> None:
    """At its bound the oldest entries go and are counted."""
    async with open_store() as store:
        keys = store.keys.clip("clip-1")
        for number in range(99):
            await store.client.execute("XADD", keys.outbox, "*", "id", number)
        clips = Clips(store.client, store.keys, ClipSettings.load(jobs=True, outbox_entries=100))
        await create(clips)
        await clips.finish(await claimed(clips), token="t1", state="failed", reason="x")

        entries = await outbox(store)
        assert (len(entries), entries[0][b"id"], entries[-1][b"k"]) == (100, b"1", b"clip.failed")
        assert await store.client.execute("GET", keys.outbox_discarded) == b"1"


async def test_a_damaged_record_is_no_clip(open_store) -> None:
    """It is neither read, listed nor rendered, and costs the others nothing."""
    async with open_store() as store:
        clips = clips_of(store)
        for clip in ("clip-1", "clip-2"):
            await create(clips, clip)
        await store.client.execute("HDEL", store.keys.clip("clip-1").record, "avatar")

        assert [clip.id for clip in await clips.list_of("app1")] == ["clip-2"]
        assert await clips.claim("clip-1", token="t", claim_ms=CLAIM_MS) is None
        assert await due(store, clips, in_s=99) == []
