"""Clips in the whole relay: rendered once, spoken without Motion Server, also over the death of an owner."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.redis_server import Server

from relay_jobs.clips.renderer import Renderer
from relay_jobs.job import Resources
from relay_redis.client import RedisClient
from relay_settings.jobs import JobsSettings
from relay_streams.clips import Clips
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_streams.uplink import Uplink
from relay_wire import events
from relay_wire.frame import Kind

ON = {"RELAY_CLIPS": "true", "RELAY_JOBS": "true"}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_clips")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server) -> AsyncIterator[Relay]:
    """One relay: each test has an avatar of its own, and one kills one of the three workers."""
    async with open_relay(redis_server.url, gateways=1, workers=3, settings=ON) as opened:
        yield opened


async def rendered(r: Relay, speech: bytes, avatar_id: str) -> tuple[str, list[bytes]]:
    """A clip that is ready, and its motion as Motion Server sent it."""
    clip = (await r.backend.create_clip(speech, avatar_id=avatar_id)).id
    settings = JobsSettings.load(redis_url=r.stack.redis_url, jobs=True, clips=True)
    async with RedisClient(settings.store_url, SCHEMA, name="jobs") as client, AsyncExitStack() as stack:
        resources = Resources(settings, client, KeySpace.of(settings), stack)
        assert await Renderer(resources).render(clip)
    assert (await r.backend.read_clip(clip)).state == "ready"
    [motion] = await r.expected_motion(speech, avatar_id)
    return clip, motion


async def vendor_use(r: Relay) -> tuple[int, int]:
    """Motion sessions and requests so far."""
    sessions = (await r.simulator("GET", "connections"))["sessions"]
    return len(sessions), len((await r.simulator("GET", "requests"))["requests"])


@pytest.mark.every_server
async def test_a_turn_speaks_a_clip(r: Relay, speech, watching, eventually) -> None:
    """A viewer receives audio and motion byte for byte as rendered; Motion Server has no session for it."""
    clip, motion = await rendered(r, speech, "speaking")
    conversation = await r.converse(avatar_id="speaking")
    used = await vendor_use(r)
    seen = await r.watch(conversation)
    async with watching(seen):
        await r.backend.speak_clip(conversation, clip, key="k")
        await eventually(lambda: 1 in seen.outcomes)
        await r.backend.speak_clip(conversation, clip, key="k")
        await r.backend.speak_clip(conversation, clip)
        await eventually(lambda: 2 in seen.outcomes, within_s=20)
        assert await vendor_use(r) == used
        await r.backend.post_turn(conversation, speech)
        await eventually(lambda: 3 in seen.outcomes, within_s=20)
        await r.backend.end(conversation)

    seen.assert_whole()
    assert seen.outcomes == dict.fromkeys((1, 2, 3), "complete")
    for turn in (1, 2):
        assert seen.audio(turn) == speech
        assert seen.motion(turn) == motion
        for kind in (Kind.AUDIO, Kind.MOTION):
            assert [f.is_end for f in seen.of(kind, turn)][-1:] == [True]
            assert sum(f.is_end for f in seen.of(kind, turn)) == 1
    assert (await vendor_use(r))[1] == used[1] + 1


async def test_an_owner_dies_in_the_middle_of_a_clip(r: Relay, speech, watching, eventually) -> None:
    """SIGKILL: the next owner continues with the chunks that follow, nothing lost, repeated or reordered."""
    clip, motion = await rendered(r, speech, "killed")
    conversation = await r.converse(avatar_id="killed")
    used = await vendor_use(r)
    seen = await r.watch(conversation)
    async with watching(seen):
        await begin(r, conversation, clip, key="k")
        await eventually(lambda: len(seen.motion(1)) and len(seen.audio(1)) >= len(speech) // 3)
        victim = await r.owner_of(conversation)
        victim.signal(signal.SIGKILL)
        await r.backend.speak_clip(conversation, clip, key="k")
        await eventually(lambda: 1 in seen.outcomes, within_s=20)
        await r.backend.end(conversation)

    seen.assert_whole()
    assert seen.outcomes == {1: "complete"}
    assert (seen.audio(1), seen.motion(1)) == (speech, motion)
    assert len({f.generation for f in seen.frames}) == 2
    assert await vendor_use(r) == used


async def test_an_interrupt_in_the_middle_of_a_clip(r: Relay, speech, watching, eventually) -> None:
    """It stops as any turn: one end of its audio, `interrupted`, and what follows of it is not published."""
    clip, motion = await rendered(r, speech, "interrupted")
    conversation = await r.converse(avatar_id="interrupted")
    seen = await r.watch(conversation)
    async with watching(seen):
        await begin(r, conversation, clip, key="k")
        await eventually(lambda: seen.motion(1))
        await r.backend.interrupt(conversation)
        await eventually(lambda: 1 in seen.outcomes)
        await r.backend.speak_clip(conversation, clip, barge_in=True)
        await eventually(lambda: 2 in seen.outcomes, within_s=20)
        await r.backend.end(conversation)

    seen.assert_whole()
    assert seen.outcomes == {1: "interrupted", 2: "complete"}
    assert sum(f.is_end for f in seen.of(Kind.AUDIO, 1)) == 1
    assert events.Interrupted("backend") in seen.events_of(1)
    assert seen.motion(2) == motion


async def begin(r: Relay, conversation: str, clip: str, *, key: str) -> None:
    """Append the first half of a clip, as a control process does that is killed in the middle."""
    settings: Any = JobsSettings.load(redis_url=r.stack.redis_url, jobs=True, clips=True)
    async with RedisClient(settings.store_url, SCHEMA, name="half") as client:
        space = KeySpace.of(settings)
        chunks = await Clips(client, space, settings).chunks(clip)
        half = chunks[: len(chunks) // 2]
        await Uplink(client).append_speech(
            space.conversation(conversation),
            key=key,
            offset=0,
            pcm=b"".join(chunk.pcm for chunk in half),
            end=False,
            entry_bytes=len(half[0].pcm),
            motion=[chunk.motion for chunk in half],
        )
