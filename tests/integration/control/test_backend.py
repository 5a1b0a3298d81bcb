"""The backend's client: requests take effect once, whatever happens to their connections; on every server."""

import asyncio
import random

import pytest
from tests.rigs.eventually import eventually

from relay_client import Backend, ControlUnavailable, RequestRefused


async def test_a_conversations_life(open_rig) -> None:
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        made = await backend.create(avatar_id="ava", sample_rate=24000, talk_over="always")
        assert (made.avatar_id, made.sample_rate, made.talk_over, made.state) == (
            "ava",
            24000,
            "always",
            "open",
        )
        assert (await backend.read(made.id)).id == made.id
        token = await backend.token(made.id, role="listen", ttl_s=60)
        assert (token.role, token.url) == ("listen", made.stream_url)
        assert (await backend.end(made.id)).state == "closing"


async def test_a_post_cut_again_and_again(open_rig, proxied) -> None:
    """Posted until it is answered, spoken once."""
    dice = random.Random(5)
    pcm = dice.randbytes(200_000)
    async with open_rig(audio_chunk_ms=10) as rig, proxied(rig) as (backend, proxy):
        conversation = await rig.create()
        post = asyncio.create_task(backend.post_turn(conversation, pcm))
        for _ in range(4):
            await asyncio.sleep(dice.random() * 0.1)
            proxy.reset()

        accepted = await post
        assert (accepted.turn, accepted.audio_bytes) == (1, 200_000)
        assert await rig.audio(conversation) == {1: pcm}


async def test_a_cancelled_post_is_repeated_with_its_key(open_rig) -> None:
    async with open_rig(audio_chunk_ms=10) as rig, Backend(rig.url, rig.key) as backend:
        conversation, pcm = await rig.create(), random.Random(6).randbytes(200_000)
        for _ in range(5):
            posting = asyncio.create_task(backend.post_turn(conversation, pcm, key="k"))
            await asyncio.sleep(0.005)
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
        assert (await backend.post_turn(conversation, pcm, key="k")).turn == 1
        assert await rig.audio(conversation) == {1: pcm}


async def test_requests_that_come_too_fast_wait(open_rig) -> None:
    """Each waits as 429 requires and is answered in the end; `create` creates one conversation."""
    async with (
        open_rig(key_requests_per_s=4, key_requests_burst=1) as rig,
        Backend(rig.url, rig.key) as backend,
    ):
        made = [await backend.create() for _ in range(2)]
        await backend.post_turn(made[0].id, b"ab")
        async with backend.speech(made[1].id) as stream:
            await stream.send(b"cd")
        assert await rig.audio(made[0].id) == {1: b"ab"}
        assert await rig.audio(made[1].id) == {1: b"cd"}
        assert len(await rig.store.client.execute("KEYS", "*meta*")) == 2


async def test_refused_at_once(open_rig) -> None:
    """What will not pass is not tried again."""
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"ab")
            await rig.answers(socket, 2)
            with pytest.raises(RequestRefused) as refused:
                await backend.post_turn(conversation, b"ab")
        assert (refused.value.status, refused.value.problem) == (409, "turn-open")
        with pytest.raises(RequestRefused) as refused:
            await backend.read("nobody")
        assert (refused.value.status, refused.value.problem) == (404, "unknown-conversation")
        async with Backend(rig.url, "no key") as unauthorized:
            with pytest.raises(RequestRefused, match="401"):
                await unauthorized.create()


async def test_a_long_turn(open_rig) -> None:
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation, pcm = await rig.create(), random.Random(9).randbytes(3_000_000)
        assert (await backend.post_turn(conversation, pcm)).audio_bytes == 3_000_000
        assert await rig.audio(conversation) == {1: pcm}


async def test_ids_and_addresses_that_are_none(open_rig) -> None:
    """An id reaches no other resource; the answer of another server is an error."""
    async with open_rig() as rig:
        async with Backend(rig.url, rig.key) as backend:
            with pytest.raises(RequestRefused, match="404"):
                await backend.read("../../healthz?x=")
        async with Backend(f"{rig.url}/elsewhere", rig.key) as backend:
            with pytest.raises(RequestRefused, match="404"):
                await backend.create()


async def test_control_stays_away(open_rig, proxied) -> None:
    """An error in time, whose text has the next action."""
    async with open_rig() as rig, proxied(rig, give_up_s=0.3) as (backend, proxy):
        conversation = await rig.create()
        await proxy.set_mode("refuse")
        with pytest.raises(ControlUnavailable, match="try again later"):
            await backend.post_turn(conversation, b"ab")
        with pytest.raises(ControlUnavailable):
            await backend.create()


async def test_a_request_that_may_have_taken_effect(open_rig, proxied) -> None:
    """`create` is not sent twice."""
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        await proxy.set_mode("black hole")
        creating = asyncio.create_task(backend.create())
        await eventually(lambda: proxy.swallowed, 5)
        proxy.reset()
        await proxy.set_mode("pass")
        with pytest.raises(ControlUnavailable):
            await creating
        assert await rig.store.client.execute("KEYS", "*meta*") == []
