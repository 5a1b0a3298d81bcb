"""Recordings through real processes: of a conversation whose owner was killed, played again byte for byte."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.rigs.jobs_service import QUICK, JobsChild, _variables

from relay_cli.replay.command import run_replay
from relay_cli.replay.file import frames, verify
from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire.frame import Kind, encode, position_of

pytestmark = pytest.mark.timeout(150)


@asynccontextmanager
async def jobs(relay, folder: Path, logs: Path) -> AsyncIterator[None]:
    """The jobs service beside a relay: dispatcher, worker and beat."""
    settings = {**QUICK, "redis_url": relay.stack.redis_url, "recordings_url": str(folder), "jobs": True}
    async with AsyncExitStack() as stack:
        for role in ("dispatcher", "worker", "beat"):
            child = JobsChild(role, role, _variables(settings), logs)
            stack.push_async_callback(child.stop)
            await child.start()
        yield


async def test_a_conversation_that_crossed_owners_is_played_again(
    relay, speech, watching, eventually, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has what the viewer received, and a viewer of its replay receives the same bytes."""
    folder = tmp_path / "recordings"
    settings = {"RELAY_JOBS": "true", "RELAY_RECORDINGS_URL": str(folder)}
    async with relay(settings=settings) as r, jobs(r, folder, tmp_path):
        made = await r.backend.create(avatar_id="recorded", record=True)
        assert made.recording == "running"
        seen = await r.watch(made.id)
        async with watching(seen):
            await r.backend.post_turn(made.id, speech)
            await eventually(lambda: 1 in seen.outcomes, 30)
            async with r.backend.speech(made.id) as stream:
                await stream.send(speech[: len(speech) // 2])
                await eventually(lambda: seen.of(Kind.MOTION, 2), 30)
                owner = await r.owner_of(made.id)
                owner.signal(signal.SIGKILL)
                await owner.wait()
                await stream.send(speech[len(speech) // 2 :])
            await eventually(lambda: 2 in seen.outcomes, 30)
            await r.backend.post_turn(made.id, speech)
            await eventually(lambda: 3 in seen.outcomes, 30)
            await r.backend.end(made.id)
        await eventually(
            lambda: r.backend.read(made.id), 40, until=lambda found: found.recording == "finished"
        )

        seen.assert_whole()
        [path] = folder.glob(f"*/{made.id}.avrec")
        header, contents = await asyncio.to_thread(verify, path)
        recorded = await asyncio.to_thread(lambda: list(frames(path)))
        assert (header.conversation, contents.gaps) == (made.id, [])
        assert {position_of(data).generation for data in recorded} >= {seen.frames[0].generation}
        assert len({position_of(data).generation for data in recorded}) == 2
        received = [encode(each) for each in seen.frames]
        assert recorded[-len(received) :] == received
        assert [(turn.turn, turn.outcome) for turn in contents.turns] == [*seen.outcomes.items()]
        wav = path.with_suffix(".wav").read_bytes()
        assert wav[44:] == seen.audio() == speech * 3
        assert [file.name for file in path.parent.iterdir() if file.is_dir()] == []

        monkeypatch.setenv("RELAY_REDIS_URL", r.stack.redis_url)
        name = f"{made.id}-again"
        replay = asyncio.create_task(
            run_replay(path, speed=4, wait_s=30, conversation=name, show=lambda _: None)
        )
        again = await eventually(lambda: watch(r, name, replay), 30)
        async with watching(again):
            await replay
        again.assert_whole()
        assert [encode(each) for each in again.frames] == recorded


async def watch(r, name: str, replay: "asyncio.Task[None]"):
    """A viewer at the other gateway, once the replay has begun."""
    if replay.done():
        await replay
    found = await r.backend.read(name) if await _exists(r, name) else None
    return None if found is None else await r.watch(name, 1)


async def _exists(r, name: str) -> bool:
    from relay_client import RequestRefused

    try:
        await r.backend.read(name)
    except RequestRefused:
        return False
    return True


async def test_frames_wait_for_jobs_after_the_end(relay, speech, eventually) -> None:
    """Where no worker runs, the frames of a recorded conversation stay for a day, of others for a minute."""
    settings = {"RELAY_JOBS": "true", "RELAY_RECORDINGS_URL": "/srv/recordings"}
    async with (
        relay(settings=settings, workers=1, gateways=1) as r,
        RedisClient(r.stack.redis_url, SCHEMA, name="test") as client,
    ):
        left_s = {}
        for record in (True, False):
            made = await r.backend.create(record=record)
            keys = KeySpace().conversation(made.id)
            await r.backend.post_turn(made.id, speech)
            await eventually(partial(r.backend.read, made.id), 20, until=lambda found: found.turn == 1)
            await r.backend.end(made.id)
            await eventually(partial(r.backend.read, made.id), 20, until=lambda found: found.state == "ended")
            left_s[record] = await client.execute("PTTL", keys.down) / 1000
            assert await client.execute("PTTL", keys.meta) / 1000 > 80_000
        assert left_s[True] > 80_000
        assert left_s[False] <= 60
