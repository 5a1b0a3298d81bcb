"""The backend's client: requests take effect once, whatever happens to their connections; on both servers."""

import asyncio
import random

import pytest
from tests.rigs.eventually import eventually

from relay_client import Backend, ControlUnavailable, RequestRefused


async def test_a_conversations_life(bench) -> None:
    async with bench() as b, Backend(b.url, b.key) as backend:
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


async def test_a_post_cut_again_and_again(bench, proxied) -> None:
    """Posted until it is answered, spoken once."""
    dice = random.Random(5)
    pcm = dice.randbytes(200_000)
    async with bench(audio_chunk_ms=10) as b, proxied(b) as (backend, proxy):
        conversation = await b.create()
        post = asyncio.create_task(backend.post_turn(conversation, pcm))
        for _ in range(4):
            await asyncio.sleep(dice.random() * 0.1)
            proxy.reset()

        accepted = await post
        assert (accepted.turn, accepted.audio_bytes) == (1, 200_000)
        assert await b.audio(conversation) == {1: pcm}


async def test_a_cancelled_post_is_repeated_with_its_key(bench) -> None:
    async with bench(audio_chunk_ms=10) as b, Backend(b.url, b.key) as backend:
        conversation, pcm = await b.create(), random.Random(6).randbytes(200_000)
        for _ in range(5):
            posting = asyncio.create_task(backend.post_turn(conversation, pcm, key="k"))
            await asyncio.sleep(0.005)
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
        assert (await backend.post_turn(conversation, pcm, key="k")).turn == 1
        assert await b.audio(conversation) == {1: pcm}


async def test_requests_that_come_too_fast_wait(bench) -> None:
    """429 says when; every request is answered in the end, `create` too, and makes one conversation."""
    async with (
        bench(key_requests_per_s=4, key_requests_burst=1) as b,
        Backend(b.url, b.key) as backend,
    ):
        made = [await backend.create() for _ in range(2)]
        await backend.post_turn(made[0].id, b"ab")
        async with backend.speech(made[1].id) as stream:
            await stream.send(b"cd")
        assert await b.audio(made[0].id) == {1: b"ab"}
        assert await b.audio(made[1].id) == {1: b"cd"}
        assert len(await b.store.client.execute("KEYS", "*meta*")) == 2


async def test_refused_at_once(bench) -> None:
    """What will not pass is not tried again."""
    async with bench() as b, Backend(b.url, b.key) as backend:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"ab")
            await b.answers(socket, 2)
            with pytest.raises(RequestRefused) as refused:
                await backend.post_turn(conversation, b"ab")
        assert (refused.value.status, refused.value.problem) == (409, "turn-open")
        with pytest.raises(RequestRefused) as refused:
            await backend.read("nobody")
        assert (refused.value.status, refused.value.problem) == (404, "unknown-conversation")
        async with Backend(b.url, "no key") as stranger:
            with pytest.raises(RequestRefused, match="401"):
                await stranger.create()


async def test_a_long_turn(bench) -> None:
    async with bench() as b, Backend(b.url, b.key) as backend:
        conversation, pcm = await b.create(), random.Random(9).randbytes(3_000_000)
        assert (await backend.post_turn(conversation, pcm)).audio_bytes == 3_000_000
        assert await b.audio(conversation) == {1: pcm}


async def test_ids_and_addresses_that_are_none(bench) -> None:
    """An id reaches no other resource; somebody else's answer is an error of ours."""
    async with bench() as b:
        async with Backend(b.url, b.key) as backend:
            with pytest.raises(RequestRefused, match="404"):
                await backend.read("../../healthz?x=")
        async with Backend(f"{b.url}/elsewhere", b.key) as backend:
            with pytest.raises(RequestRefused, match="404"):
                await backend.create()


async def test_control_stays_away(bench, proxied) -> None:
    """Given up in time, and the error says what to do."""
    async with bench() as b, proxied(b, give_up_s=0.3) as (backend, proxy):
        conversation = await b.create()
        await proxy.set_mode("refuse")
        with pytest.raises(ControlUnavailable, match="try again later"):
            await backend.post_turn(conversation, b"ab")
        with pytest.raises(ControlUnavailable):
            await backend.create()


async def test_a_request_that_may_have_taken_effect(bench, proxied) -> None:
    """`create` is not sent twice."""
    async with bench() as b, proxied(b) as (backend, proxy):
        await proxy.set_mode("black hole")
        creating = asyncio.create_task(backend.create())
        await eventually(lambda: proxy.swallowed, 5)
        proxy.reset()
        await proxy.set_mode("pass")
        with pytest.raises(ControlUnavailable):
            await creating
        assert await b.store.client.execute("KEYS", "*meta*") == []
