"""Copies of clips in real files: what Redis has lost returns, what was removed does not; on every server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from tests.rigs.metrics import metric

from relay_jobs.clips.copies import COPIES, Copies
from relay_settings.jobs import JobsSettings
from relay_streams.clips import Clip, Clips
from relay_wire.clips import ClipChunk

CHUNKS = [ClipChunk(bytes([number]) * 4, (bytes([number]), b"m")) for number in range(40)]
PCM = b"".join(chunk.pcm for chunk in CHUNKS)
SIZE = sum(chunk.size_bytes for chunk in CHUNKS)


class Rig:
    """Clips in a store, and their copies in a folder."""

    def __init__(self, store: Any, folder: Path, **settings: Any) -> None:
        loaded = JobsSettings.load(jobs=True, clips=True, recordings_url=str(folder), **settings)
        self.store = store
        self.folder = folder
        self.clips = Clips(store.client, store.keys, loaded)
        self.copies = Copies(loaded, self.clips)

    async def ready(self, clip: str = "clip-1", token: str = "t1") -> Clip:  # noqa: S107  # a name
        """A clip that is ready, as the renderer makes it."""
        await self.clips.create(clip, creator="app1", avatar_id="ava", sample_rate=16000, digest="d", pcm=PCM)
        await self.clips.claim(clip, token=token, claim_ms=9999)
        record = await self.clips.record(clip)
        await self.clips.store(clip, token=token, chunks=CHUNKS)
        copy = await self.copies.write(record, token, CHUNKS)
        await self.clips.finish(
            record, token=token, state="ready", progress="1", size_bytes=SIZE, chunk_bytes=4, copy=copy
        )
        return await self.clips.record(clip)

    @property
    def files(self) -> list[str]:
        """The names of the copies."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.clip"))


@pytest.fixture
def rig(open_store: Any, tmp_path: Path, no_blocking: BlockBuster) -> Any:
    """``async with rig() as r``: see ``Rig``."""
    no_blocking.deactivate()  # the tests look at the files

    @asynccontextmanager
    async def opened() -> AsyncIterator[Rig]:
        async with open_store() as store:
            yield Rig(store, tmp_path)

    return opened


async def test_a_lost_clip_is_restored(rig: Any) -> None:
    """After a restart of Redis without its data it is ready again, chunk by chunk, and sends no event."""
    async with rig() as r:
        before = await r.ready()
        await r.store.client.execute("FLUSHALL")

        await r.copies.restore()

        after = await r.clips.record("clip-1")
        assert after == before._replace(created_ms=after.created_ms, attempts=1)
        assert await r.clips.chunks("clip-1") == CHUNKS
        assert await r.clips.usage("app1") == (1, SIZE)
        assert await r.store.entries(r.store.keys.clip("clip-1").outbox) == []
        await r.copies.restore()
        assert (await r.clips.record("clip-1"), r.files) == (after, [after.copy])


async def test_a_removed_clip_stays_removed(rig: Any) -> None:
    """Its record stays until the file has gone; neither reads, lists nor restores it."""
    async with rig() as r:
        clip = await r.ready()
        assert await r.clips.delete(clip) == "removed"
        await r.copies.restore()

        assert await r.clips.list_of("app1") == []
        assert await r.clips.due(r.store.keys.partition("clip-1"), 1) == ["clip-1"]
        removed = await r.clips.record("clip-1")
        assert await r.clips.delete(removed) == "missing"
        assert await r.clips.claim("clip-1", token="t", claim_ms=1) is None
        await r.copies.remove(removed)
        assert r.files == []
        assert await r.clips.due(r.store.keys.partition("clip-1"), 1) == []
        await r.copies.restore()
        assert await r.store.client.execute("EXISTS", r.store.keys.clip("clip-1").record) == 0


async def test_a_clip_that_is_created_again(rig: Any) -> None:
    """Under the same id, before the old file has gone: the new one and its file stay."""
    async with rig() as r:
        old = await r.ready()
        await r.clips.delete(old)
        removed = await r.clips.record("clip-1")
        new = await r.ready(token="t2")
        await r.copies.remove(removed)

        assert await r.clips.record("clip-1") == new
        assert r.files == [new.copy]


async def test_files_of_attempts_that_were_overtaken(rig: Any) -> None:
    """They are removed once they are old; younger ones may be an attempt's that is about to finish."""
    async with rig() as r:
        clip = await r.ready()
        orphan = await r.copies.write(clip, "overtaken", CHUNKS)
        await r.copies.restore()
        assert r.files == sorted([clip.copy, orphan])
        os.utime(r.folder / orphan, (1, 1))
        os.utime(r.folder / clip.copy, (1, 1))
        await r.copies.restore()

        assert r.files == [clip.copy]


async def test_a_file_that_is_no_clip(rig: Any) -> None:
    """It is counted and left alone, and costs the others nothing."""
    async with rig() as r:
        clip = await r.ready()
        await r.store.client.execute("FLUSHALL")
        broken = r.folder / "clips/app1/broken.t.clip"
        broken.write_bytes(b"nonsense")
        unreadable = metric(COPIES, what="unreadable")
        await r.copies.restore()

        assert (await r.clips.record("clip-1")).copy == clip.copy
        assert metric(COPIES, what="unreadable") == unreadable + 1
        assert broken.exists()


async def test_storage_that_fails(rig: Any) -> None:
    """The clip is ready without a copy."""
    async with rig() as r:
        (r.folder / "clips").write_text("in the way")
        failed = metric(COPIES, what="failed")

        assert (await r.ready()).copy == ""
        assert metric(COPIES, what="failed") == failed + 1


async def test_without_storage(open_store: Any) -> None:
    """Nothing is written, read or removed; a removed clip leaves no record."""
    async with open_store() as store:
        r = Rig(store, Path("/"))
        r.copies = Copies(JobsSettings.load(jobs=True, clips=True), r.clips)
        clip = await r.ready()
        await r.copies.restore()

        assert clip.copy == ""
        assert await r.clips.delete(clip) == "removed"
        assert await store.client.execute("EXISTS", store.keys.clip("clip-1").record) == 0
