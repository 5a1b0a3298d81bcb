"""Clips rendered by the processes of the jobs service, some of which are killed meanwhile."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.jobs_service import JobsRig, open_jobs

from relay_streams import conversations
from relay_streams.clips import Clips

PCM = bytes(index * index % 253 for index in range(3 * 2 * 16000))
SETTINGS = {"jobs": True, "clips": True, "clip_claim_s": 1, "clip_due_s": 0.5, "jobs_limit_s": 60}

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def rig(open_store: Any, tmp_path: Path, no_blocking: BlockBuster) -> Any:
    """``async with rig() as (jobs, workers, clips)``: both services as needed, and the clips of the store."""
    no_blocking.deactivate()  # the start of processes blocks

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[JobsRig, WorkerRig, Clips]]:
        async with (
            open_store() as store,
            open_workers(store) as workers,
            open_jobs(store, tmp_path, **SETTINGS) as jobs,
        ):
            clips = Clips(store.client, store.keys, jobs.settings)
            assert await clips.create(
                "clip-1", creator="app1", avatar_id="ava", sample_rate=16000, digest="d", pcm=PCM
            ) is None  # fmt: skip
            yield jobs, workers, clips

    return opened


def family(process: int) -> list[int]:
    """A process and all that it has started, the oldest first."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in family(int(child)))]


async def until(clips: Clips, state: str) -> None:
    """Wait until the clip has a state."""
    await eventually(lambda: clips.record("clip-1"), 60, until=lambda clip: clip.state == state)


async def test_a_requested_clip_is_rendered(rig: Any) -> None:
    """Its entry in the outbox becomes a task, without beat."""
    async with rig() as (jobs, workers, clips), workers.worker():
        await jobs.worker()
        await jobs.start("dispatcher")

        await until(clips, "ready")

        assert b"".join(chunk.pcm for chunk in await clips.chunks("clip-1")) == PCM


async def test_a_worker_is_killed_in_the_middle(rig: Any) -> None:
    """Beat finds the clip, which is stored once; no conversation is left open."""
    async with rig() as (jobs, workers, clips):
        worker = await jobs.worker()
        await jobs.start("beat")
        await until(clips, "rendering")
        record = await eventually(
            lambda: clips.record("clip-1"), 20, until=lambda clip: clip.conversation != ""
        )
        first = jobs.store.keys.conversation(record.conversation)
        await eventually(lambda: jobs.store.client.execute("EXISTS", first.meta))
        for process in reversed(family(worker.pid)):
            os.kill(process, signal.SIGKILL)
        await worker.wait()
        async with workers.worker():
            await jobs.worker()

            await until(clips, "ready")

            clip = await clips.record("clip-1")
            assert clip.attempts > 1
            await eventually(
                lambda: conversations.read(jobs.store.client, first), 20, until=lambda c: c.state == "ended"
            )
        chunks = await clips.chunks("clip-1")
        assert b"".join(chunk.pcm for chunk in chunks) == PCM
        assert sum(chunk.size_bytes for chunk in chunks) == clip.size_bytes
        kinds = [
            fields[b"k"] for _, fields in await jobs.store.entries(jobs.store.keys.clip("clip-1").outbox)
        ]
        assert kinds.count(b"clip.ready") == 1
        assert all(chunk.motion for chunk in chunks[-1:])


async def test_a_lost_task(rig: Any) -> None:
    """The outbox is lost, and with it the hint: the store has the clip as due."""
    async with rig() as (jobs, workers, clips), workers.worker():
        await jobs.store.client.execute("DEL", jobs.store.keys.clip("clip-1").outbox)
        await jobs.worker()
        await jobs.start("beat")

        await until(clips, "ready")
