"""Clips over control's API: created, listed, cancelled, and spoken by turns; on every server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.control import ControlRig

from relay_client import Backend, RequestRefused
from relay_settings.base import SettingsError
from relay_settings.clips import ClipSettings
from relay_settings.control import ControlSettings
from relay_streams.clips import Clips
from relay_wire import uplink
from relay_wire.clips import ClipChunk, cut
from relay_wire.pcm import chunk_bytes

PCM = bytes(range(256)) * 50
"""Four chunks of 100 ms."""
MOTION = tuple(bytes([number]) * 50 for number in range(1, 9))
ON = {"clips": True, "jobs": True}


@asynccontextmanager
async def opened(open_rig: Any, **settings: Any) -> AsyncIterator[tuple[ControlRig, Backend]]:
    async with (
        open_rig(**{**ON, **settings}) as rig,
        Backend(rig.url, rig.key, give_up_s=5) as backend,
    ):
        yield rig, backend


def stored(rig: ControlRig) -> Clips:
    return Clips(rig.store.client, rig.store.keys, ClipSettings.load(jobs=True))


async def render(rig: ControlRig, clip: str) -> list[ClipChunk]:
    """What a worker does, without Motion Server."""
    clips = stored(rig)
    assert await clips.claim(clip, token="t", claim_ms=9999) is not None
    record = await clips.record(clip)
    size = chunk_bytes(100, record.sample_rate)
    chunks = cut(await clips.audio(clip), MOTION, chunk_bytes=size, lead_bytes=size)
    total = sum(chunk.size_bytes for chunk in chunks)
    assert await clips.store(clip, token="t", chunks=chunks)
    assert await clips.finish(
        record, token="t", state="ready", progress="1", size_bytes=total, chunk_bytes=size
    )
    return chunks


async def test_a_clip_is_created_and_seen(open_rig) -> None:
    """202 with its address; its state and progress are visible, and the key's clips are listed."""
    async with opened(open_rig) as (rig, backend):
        status, body, headers = await rig.call(
            "POST", "/v1/clips?avatar_id=ava", data=PCM, headers={"Content-Type": "audio/pcm"}
        )
        assert (status, headers["Location"]) == (202, f"/v1/clips/{body['id']}")
        clip = await backend.read_clip(body["id"])
        assert (clip.state, clip.progress, clip.avatar_id, clip.sample_rate) == ("queued", 0, "ava", 16000)
        assert (clip.audio_bytes, clip.audio_ms, clip.reason) == (len(PCM), 400, None)

        await render(rig, clip.id)

        ready = await backend.read_clip(clip.id)
        assert (ready.state, ready.progress, ready.size_bytes) == ("ready", 1, len(PCM) + 400)
        assert await backend.clips() == [ready]


async def test_an_idempotency_key_creates_one_clip(open_rig) -> None:
    """The same request finds the same clip; another one under the key is refused."""
    async with opened(open_rig) as (_, backend):
        first = await backend.create_clip(PCM, key="k")
        again = await backend.create_clip(PCM, key="k")
        other = await backend.create_clip(PCM, key="k2")
        with pytest.raises(RequestRefused) as refused:
            await backend.create_clip(PCM + b"ab", key="k")

        assert first == again
        assert other.id != first.id
        assert refused.value.problem == "idempotency-mismatch"
        assert len(await backend.clips()) == 2


async def test_clips_of_another_key(open_rig) -> None:
    """They are unknown, also to turns."""
    async with opened(open_rig) as (rig, backend), Backend(rig.url, rig.other_key) as other:
        clip = await backend.create_clip(PCM)
        await render(rig, clip.id)
        conversation = await other.create()

        assert await other.clips() == []
        for refusing in (
            other.read_clip(clip.id), other.delete_clip(clip.id), other.speak_clip(conversation.id, clip.id),
        ):  # fmt: skip
            with pytest.raises(RequestRefused) as refused:
                await refusing
            assert refused.value.problem == "unknown-clip"


async def test_cancel_and_remove(open_rig) -> None:
    """A queued clip is cancelled, and removed by a second request; the conversation that renders it ends."""
    async with opened(open_rig) as (rig, backend):
        clip = await backend.create_clip(PCM)
        keys = await rig.store.create()
        await stored(rig).claim(clip.id, token="t", claim_ms=9999)
        await stored(rig).renew(clip.id, token="t", claim_ms=9999, conversation=keys.id)

        assert (await backend.delete_clip(clip.id)).state == "cancelled"
        assert (await backend.read_clip(clip.id)).state == "cancelled"
        assert await rig.up_entries(keys.id) == [uplink.Close("clip_cancelled")]
        await backend.delete_clip(clip.id)
        with pytest.raises(RequestRefused):
            await backend.read_clip(clip.id)


async def test_a_turn_speaks_a_clip(open_rig) -> None:
    """Its chunks are in the uplink with their motion, once however often it is posted."""
    async with opened(open_rig) as (rig, backend):
        clip = await backend.create_clip(PCM)
        chunks = await render(rig, clip.id)
        conversation = await backend.create()

        answers = [await backend.speak_clip(conversation.id, clip.id, key="k") for _ in range(2)]
        later = await backend.speak_clip(conversation.id, clip.id, barge_in=True)

        assert [(answer.turn, answer.audio_bytes) for answer in answers] == [(1, len(PCM))] * 2
        assert later.turn == 2
        entries = await rig.up_entries(conversation.id)
        first, second = entries[:4], entries[4:]
        for spoken in (first, second):
            assert [ClipChunk(entry.pcm, entry.motion) for entry in spoken] == chunks
            assert [entry.end for entry in spoken] == [False] * 3 + [True]
        assert [entry.barge_in for entry in second] == [True] + [False] * 3


@pytest.mark.parametrize(
    ("wishes", "problem"),
    [
        ({"avatar_id": "other"}, "clip-mismatch"),
        ({"sample_rate": 24000}, "clip-mismatch"),
    ],
)
async def test_a_clip_of_another_voice(open_rig, wishes: dict[str, Any], problem: str) -> None:
    """Its motion is of one avatar, and its audio of one rate: neither fits another conversation."""
    async with opened(open_rig) as (rig, backend):
        clip = await backend.create_clip(PCM)
        await render(rig, clip.id)
        conversation = await backend.create(**wishes)

        with pytest.raises(RequestRefused) as refused:
            await backend.speak_clip(conversation.id, clip.id)
        assert refused.value.problem == problem
        assert await rig.up_entries(conversation.id) == []


async def test_a_clip_that_cannot_be_spoken(open_rig) -> None:
    """One that is not ready, and one whose chunks Redis has lost."""
    async with opened(open_rig) as (rig, backend):
        clip = await backend.create_clip(PCM)
        conversation = await backend.create()
        with pytest.raises(RequestRefused) as waiting:
            await backend.speak_clip(conversation.id, clip.id)
        await render(rig, clip.id)
        await rig.store.client.execute("DEL", rig.store.keys.clip(clip.id).chunks)
        with pytest.raises(RequestRefused) as lost:
            await backend.speak_clip(conversation.id, clip.id)

        assert (waiting.value.problem, lost.value.problem) == ("clip-not-ready", "unknown-clip")


@pytest.mark.parametrize(
    ("query", "body", "kind", "status", "problem"),
    [
        ("", b"", "audio/pcm", 400, "empty-audio"),
        ("", b"x", "audio/wav", 400, "not-a-wav"),
        ("", b"abc", "audio/pcm", 422, "unsupported-audio"),
        ("", PCM, "text/plain", 415, "unsupported-media"),
        ("?sample_rate=11025", PCM, "audio/pcm", 422, "invalid-field"),
        ("?avatar_id=%00", PCM, "audio/pcm", 422, "invalid-field"),
        ("", bytes(4096), "audio/pcm", 413, "too-large"),
    ],
)
async def test_bad_requests(  # a table
    open_rig, query: str, body: bytes, kind: str, status: int, problem: str
) -> None:
    """Refused before anything is stored."""
    async with opened(open_rig, clip_audio_bytes=2048) as (rig, backend):
        data = body if len(body) != len(PCM) else body[:2048]
        got, answer, _ = await rig.call(
            "POST", f"/v1/clips{query}", data=data, headers={"Content-Type": kind}
        )

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert await backend.clips() == []


@pytest.mark.parametrize(
    ("clip", "status", "problem"),
    [
        ({"clip": ""}, 404, "unknown-clip"),
        ({"clip": "none"}, 404, "unknown-clip"),
        ({"clip": 7}, 422, "invalid-field"),
        ({}, 422, "invalid-field"),
        ({"clip": "x", "more": 1}, 422, "invalid-field"),
    ],
)
async def test_bad_names(open_rig, clip: dict[str, Any], status: int, problem: str) -> None:
    """No turn is opened for them."""
    async with opened(open_rig) as (rig, _):
        conversation = await rig.create()
        got, answer, _ = await rig.call("POST", f"/v1/conversations/{conversation}/turns", json=clip)

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert await rig.up_entries(conversation) == []


@pytest.mark.parametrize("limits", [{"key_clips": 2}, {"key_clip_bytes": 2 * len(PCM) + 10}])
async def test_limits_of_a_key(open_rig, limits: dict[str, int]) -> None:
    """In number and in bytes; a repeated request is none more, and a removed clip makes room."""
    async with opened(open_rig, **limits) as (_, backend):
        clips = [await backend.create_clip(PCM, key=key) for key in ("a", "b", "b")]
        with pytest.raises(RequestRefused) as refused:
            await Backend.create_clip(backend, PCM, key="c")
        for _ in range(2):
            await backend.delete_clip(clips[0].id)

        assert refused.value.problem == "too-many-clips"
        assert (await backend.create_clip(PCM, key="c")).state == "queued"


async def test_memory_is_bounded(open_rig) -> None:
    """A clip that a turn speaks counts against the limit of bodies."""
    async with opened(open_rig, max_bodies_bytes=len(PCM) + 100) as (rig, backend):
        clip = await backend.create_clip(PCM)
        await render(rig, clip.id)
        conversation = await rig.create()

        status, answer, _ = await rig.call(
            "POST", f"/v1/conversations/{conversation}/turns", json={"clip": clip.id}
        )
        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:overloaded")


async def test_off_by_default(open_rig) -> None:
    """There is no such resource, and JSON is no audio."""
    async with open_rig() as rig:
        conversation = await rig.create()
        created = await rig.call("POST", "/v1/clips", data=PCM)
        spoken = await rig.call("POST", f"/v1/conversations/{conversation}/turns", json={"clip": "x"})

        assert (created[0], spoken[0]) == (404, 415)


def test_clips_need_jobs() -> None:
    """Nobody would render them."""
    with pytest.raises(SettingsError, match="RELAY_CLIPS needs RELAY_JOBS"):
        ControlSettings.load(clips=True, RELAY_API_KEYS="x", RELAY_TOKEN_SECRET="k" * 40)
