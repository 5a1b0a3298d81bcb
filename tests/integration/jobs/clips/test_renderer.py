"""Rendering of clips by a real worker of ingest: whole, once, and ended whatever happens; on every server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.metrics import metric

from relay_jobs.clips.renderer import RENDERED, Renderer
from relay_jobs.clips.tasks import look
from relay_jobs.job import Resources
from relay_settings.jobs import JobsSettings
from relay_streams import conversations
from relay_streams.clips import Clips, creator_of_rendering
from relay_streams.conversations import fields_of
from relay_wire.frame import Kind

PCM = bytes(index * index % 253 for index in range(5 * 2 * 16000))
"""Five seconds."""


@dataclass
class RenderingRig:
    """A store, a vendor, workers of ingest as needed, and a renderer."""

    workers: WorkerRig
    resources: Resources
    clips: Clips
    renderer: Renderer
    http: aiohttp.ClientSession

    async def create(self, clip: str = "clip-1", pcm: bytes = PCM, avatar_id: str = "ava") -> None:
        """Create a clip."""
        await self.clips.create(
            clip, creator="app1", avatar_id=avatar_id, sample_rate=16000, digest="d", pcm=pcm
        )

    async def events(self, clip: str = "clip-1") -> list[tuple[bytes, bytes]]:
        """Types and data of the public events."""
        client, keys = self.resources.client, self.resources.keys.clip(clip)
        entries = await client.execute("XRANGE", keys.outbox, "-", "+")
        fields = [fields_of(flat) for _, flat in entries]
        return [
            (entry[b"k"], entry[b"d"]) for entry in fields if entry[b"c"] == clip.encode() and b"n" in entry
        ]

    async def requests(self) -> int:
        """The requests that Motion Server has had."""
        async with self.http.get(f"{self.workers.vendor}/admin/requests") as response:
            return len((await response.json())["requests"])

    async def state(self, conversation: str) -> str:
        """The state of a conversation."""
        keys = self.resources.keys.conversation(conversation)
        return (await conversations.read(self.resources.client, keys)).state

    async def conversation(self, clip: str = "clip-1") -> str:
        """The conversation of the attempt under way, once it exists."""

        async def created() -> str:
            conversation = (await self.clips.record(clip)).conversation
            keys = self.resources.keys.conversation(conversation)
            exists = conversation and await self.resources.client.execute("EXISTS", keys.meta, key=keys.meta)
            return conversation if exists else ""

        found: str = await eventually(created, 10)
        return found


@pytest.fixture
def rig(open_store: Any) -> Any:
    """``async with rig(settings) as r``: see ``RenderingRig``."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[RenderingRig]:
        async with (
            open_store() as store,
            open_workers(store) as workers,
            aiohttp.ClientSession() as http,
            AsyncExitStack() as stack,
        ):
            values = {"jobs": True, "clips": True, "redis_url": store.url, "clip_retry_s": 0.1, **options}
            settings = JobsSettings.load(**values)
            resources = Resources(settings, store.client, store.keys, stack)
            clips = Clips(store.client, store.keys, settings)
            yield RenderingRig(workers, resources, clips, Renderer(resources), http)

    return opened


async def test_a_clip_is_rendered(rig: Any) -> None:
    """Audio and motion as the conversation published them; its conversation ends and is no app's."""
    async with rig() as r, r.workers.worker():
        await r.create()
        rendering = asyncio.create_task(r.renderer.render("clip-1"))
        conversation = await r.conversation()
        record = await conversations.read(r.resources.client, r.resources.keys.conversation(conversation))
        assert await rendering

        clip = await r.clips.record("clip-1")
        chunks = await r.clips.chunks("clip-1")
        frames = await r.workers.frames(r.resources.keys.conversation(conversation))
        assert (clip.state, clip.progress, clip.attempts) == ("ready", 1, 1)
        assert b"".join(chunk.pcm for chunk in chunks) == PCM
        motion = [bytes(frame.payload) for frame in frames if frame.kind is Kind.MOTION]
        assert [payload for chunk in chunks for payload in chunk.motion] == motion
        assert len(motion) > 1
        assert clip.size_bytes == len(PCM) + sum(map(len, motion))
        assert record.creator == creator_of_rendering("app1")
        (event,) = await r.events()
        assert event[0] == b"clip.ready"
        await eventually(lambda: r.state(conversation), 10, until=lambda state: state == "ended")
        assert not await r.renderer.render("clip-1")


async def test_a_killed_attempt(rig: Any) -> None:
    """The next attempt ends the conversation of the one before, and the clip is stored once."""
    async with rig() as r, r.workers.worker():
        await r.create()
        claim = await r.clips.claim("clip-1", token="killed", claim_ms=0)
        keys = await r.workers.store.create(creator=creator_of_rendering("app1"))
        await r.clips.renew("clip-1", token=claim.token, claim_ms=0, conversation=keys.id)

        await look(r.resources)

        clip = await r.clips.record("clip-1")
        assert (clip.state, clip.attempts, clip.conversation) == ("ready", 2, "")
        await eventually(lambda: r.state(keys.id), 10, until=lambda state: state == "ended")
        assert [kind for kind, _ in await r.events()] == [b"clip.ready"]


async def test_attempts_that_are_always_killed(rig: Any) -> None:
    """Their number is bounded: then the clip has failed, without another conversation."""
    async with rig(clip_attempts=2) as r:
        await r.create()
        for token in ("one", "two"):
            await r.clips.claim("clip-1", token=token, claim_ms=0)

        await look(r.resources)

        clip = await r.clips.record("clip-1")
        assert (clip.state, clip.reason) == ("failed", "attempts")
        assert [kind for kind, _ in await r.events()] == [b"clip.failed"]


async def test_a_cancelled_rendering(rig: Any) -> None:
    """It stops at its next renewal, ends its conversation, and stores nothing."""
    async with rig() as r:
        await r.create()
        rendering = asyncio.create_task(r.renderer.render("clip-1"))
        conversation = await r.conversation()
        await r.clips.delete(await r.clips.record("clip-1"))
        assert await rendering

        async with r.workers.worker():
            await eventually(lambda: r.state(conversation), 10, until=lambda state: state == "ended")
        assert (await r.clips.record("clip-1")).state == "cancelled"
        assert await r.clips.chunks("clip-1") == []
        assert await r.requests() == 0


async def test_a_clip_without_motion_is_tried_again(rig: Any) -> None:
    """A turn that became audio-only is no clip. After its attempts it has failed, with its reason."""
    async with rig(clip_attempts=2) as r, r.workers.worker():
        await r.create(avatar_id="unknown")
        again = metric(RENDERED, outcome="again")
        await r.renderer.render("clip-1")
        first = await r.clips.record("clip-1")

        async def failed() -> bool:
            await look(r.resources)
            return (await r.clips.record("clip-1")).state == "failed"

        await eventually(failed, 20)
        assert (first.state, first.reason) == ("queued", "avatarNotFound")
        clip = await r.clips.record("clip-1")
        assert (clip.reason, clip.attempts) == ("avatarNotFound", 2)
        assert metric(RENDERED, outcome="again") == again + 1
        assert [kind for kind, _ in await r.events()] == [b"clip.failed"]


async def test_an_attempt_has_a_time_limit(rig: Any) -> None:
    """Without a worker of ingest the conversation waits for ever; the attempt does not, and ends it."""
    async with rig(clip_render_s=0.3, clip_attempts=1) as r:
        await r.create()
        await r.renderer.render("clip-1")

        clip = await r.clips.record("clip-1")
        assert (clip.state, clip.reason) == ("failed", "timeout")


async def test_storage_is_bounded(rig: Any) -> None:
    """A clip whose motion does not fit into the key's limit has failed, and leaves no bytes."""
    async with rig(key_clip_bytes=len(PCM) + 100) as r, r.workers.worker():
        await r.create()
        await r.renderer.render("clip-1")

        clip = await r.clips.record("clip-1")
        assert (clip.state, clip.reason) == ("failed", "storage_full")
        assert await r.clips.usage("app1") == (1, 0)


async def test_lost_audio(rig: Any) -> None:
    """Redis has lost the audio of a clip that waits: it has failed for good."""
    async with rig() as r:
        await r.create()
        keys = r.resources.keys.clip("clip-1")
        await r.resources.client.execute("DEL", keys.audio)
        await r.renderer.render("clip-1")

        assert (await r.clips.record("clip-1")).reason == "audio_lost"


async def test_an_owner_change_in_the_middle(rig: Any) -> None:
    """The turn continues without motion, so the attempt has failed, and the next one renders the clip."""
    async with rig() as r:
        await r.create()
        rendering = asyncio.create_task(r.renderer.render("clip-1"))
        async with r.workers.worker(drain_s=0, motion_close_s=0.01):
            keys = r.resources.keys.conversation(await r.conversation())
            await eventually(lambda: r.workers.audio(keys, 1), 10)
        async with r.workers.worker():
            await rendering

            async def ready() -> bool:
                await look(r.resources)
                return (await r.clips.record("clip-1")).state == "ready"

            await eventually(ready, 20)
        chunks = await r.clips.chunks("clip-1")
        assert b"".join(chunk.pcm for chunk in chunks) == PCM
