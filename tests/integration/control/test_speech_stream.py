"""The speech stream: every byte of a turn is in once, whatever happens to its sockets; on every server."""

import asyncio
import contextlib
import random
import socket as sockets

import pytest
from tests.rigs.control import API_KEY, KNOWN_KEY, TOKEN_KEY, ControlRig

from relay_cli.stack import Child
from relay_client import (
    Backend,
    ControlUnavailable,
    RequestRefused,
    SpeechInterrupted,
    SpeechRefused,
)
from relay_client.outgoing_turn import State


async def test_cut_in_mid_speech_again_and_again(open_rig, proxied, eventually) -> None:
    """It resumes over new connections at the acknowledged byte."""
    dice = random.Random(4)
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        expected = {}
        conversation = await rig.create()
        for turn in (1, 2, 3):
            pcm = expected[turn] = dice.randbytes(1_500_000)
            async with backend.speech(conversation) as stream:
                start = cut_at = 0
                while start < len(pcm):
                    size = dice.randrange(1, 100_000)
                    await stream.send(pcm[start : start + size])
                    start += size
                    assert stream.buffered_bytes <= 1024 * 1024
                    if dice.random() < 0.4:
                        await eventually(lambda stream=stream, at=cut_at: stream.acknowledged_bytes > at)
                        cut_at = stream.acknowledged_bytes
                        proxy.reset()
            assert (stream.turn, stream.acknowledged_bytes) == (turn, 1_500_000)
            assert stream.resumes > 3
        assert await rig.audio(conversation) == expected
        assert await rig.input(conversation) == (3, 1_500_000, "ended")


async def test_bytes_swallowed_on_the_way(open_rig, proxied, eventually) -> None:
    """Sent, never received: sent again over the next connection."""
    pcm = random.Random(7).randbytes(400_000)
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        conversation = await rig.create()
        async with backend.speech(conversation) as stream:
            await stream.send(pcm[:100_000])
            await eventually(lambda: stream.acknowledged_bytes == 100_000)
            await proxy.set_mode("black hole")
            await stream.send(pcm[100_000:300_000])
            await eventually(lambda: proxy.swallowed >= 200_000)
            proxy.reset()
            await proxy.set_mode("pass")
            await stream.send(pcm[300_000:])
        assert stream.resumes == 1
        assert await rig.audio(conversation) == {1: pcm}


async def test_backpressure(open_rig, proxied, eventually) -> None:
    """`send` waits while too much is not acknowledged; cancelled, it has appended nothing."""
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        conversation = await rig.create()
        async with backend.speech(conversation, max_buffered_bytes=1000) as stream:
            await stream.send(b"ab" * 300)
            await eventually(lambda: stream.acknowledged_bytes == 600)
            await proxy.set_mode("black hole")
            await stream.send(b"cd" * 300)
            sending = asyncio.create_task(stream.send(b"ef" * 300))
            await asyncio.wait([sending], timeout=0.05)
            assert not sending.done()
            assert stream.buffered_bytes == 600
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            proxy.reset()
            await proxy.set_mode("pass")
            await stream.send(b"gh" * 300)
        assert await rig.audio(conversation) == {1: b"ab" * 300 + b"cd" * 300 + b"gh" * 300}


async def test_control_is_killed_and_restarted(open_store, redis_server, tmp_path, eventually) -> None:
    """Killed in mid-turn, then terminated: the turn continues in the next process."""
    with sockets.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "RELAY_REDIS_URL": redis_server.url, "RELAY_API_KEYS": str(KNOWN_KEY),
        "RELAY_TOKEN_SECRET": TOKEN_KEY, "RELAY_CONTROL_PORT": str(port), "RELAY_DRAIN_ACCEPT_S": "0",
        "SPATIUS_AVATAR_ID": "ava", "RELAY_OWNER_WAIT_S": "60",
    }  # fmt: skip
    control = Child("control", "control", environment, tmp_path)
    pcm = random.Random(8).randbytes(400_000)
    async with open_store() as store, contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(control.stop)
        await control.start()
        backend = await stack.enter_async_context(Backend(control.url, API_KEY))
        conversation = (await backend.create()).id
        async with backend.speech(conversation) as stream:
            await stream.send(pcm[:100_000])
            await eventually(lambda: stream.acknowledged_bytes > 0)
            control._running.kill()
            await control.wait()
            await stream.send(pcm[100_000:200_000])
            await control.start()
            await eventually(lambda: stream.resumes == 1, within_s=20)
            await stream.send(pcm[200_000:300_000])
            await control.stop()
            await control.start()
            await stream.send(pcm[300_000:])
        posted = await backend.post_turn(conversation, pcm[:2000])
        assert (stream.turn, stream.resumes, posted.turn) == (1, 2, 2)
        audio = await ControlRig(store, control.url, backend._session, {}).audio(conversation)
        assert audio == {1: pcm, 2: pcm[:2000]}


async def test_503_for_a_while(open_rig, eventually) -> None:
    """The conversation has no owner: retried after `Retry-After` until a worker owns it."""
    async with open_rig(owner_wait_s=0.01) as rig, Backend(rig.url, rig.key) as backend:
        keys = await rig.store.create()
        await asyncio.sleep(0.02)
        async with backend.speech(keys.id) as stream:
            await stream.send(b"abcd")
            await eventually(lambda: stream._backoff._failures)
            await rig.store.claim(keys, lease_ms=60_000)
        assert await rig.audio(keys.id) == {1: b"abcd"}


async def test_interrupt_and_the_next_turn(open_rig, proxied, eventually) -> None:
    """Cancels the turn, over a broken connection too; the next stream opens another."""
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        conversation = await rig.create()
        for broken in (False, True):
            async with backend.speech(conversation) as stream:
                await stream.send(b"abcd")
                await eventually(lambda stream=stream: stream.acknowledged_bytes == 4)
                if broken:
                    proxy.reset()
                await stream.interrupt()
                with pytest.raises(ValueError, match="no more"):
                    await stream.send(b"ef")
            assert (await rig.input(conversation))[2] == "cut"
        async with backend.speech(conversation) as stream:
            await stream.send(b"gh")
        assert stream.turn == 3


async def test_a_send_that_waits_learns_of_the_interrupt(open_rig, proxied, eventually) -> None:
    async with (
        open_rig() as rig,
        proxied(rig) as (backend, proxy),
        backend.speech(await rig.create(), max_buffered_bytes=2) as stream,
    ):
        await stream.send(b"ab")
        await eventually(lambda: stream.acknowledged_bytes)
        await proxy.set_mode("black hole")
        await stream.send(b"cd")
        sending = asyncio.create_task(stream.send(b"ef"))
        await asyncio.wait([sending], timeout=0.05)
        interrupting = asyncio.create_task(stream.interrupt())
        with pytest.raises(ValueError, match="no more"):
            await sending
        proxy.reset()
        await proxy.set_mode("pass")
        await interrupting


async def test_interrupted_by_somebody_else(open_rig, eventually) -> None:
    """An error whose text has the next action; every later call raises it, too."""
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()
        with pytest.raises(SpeechInterrupted) as interrupted:
            async with backend.speech(conversation) as stream:
                await stream.send(b"abcd")
                await eventually(lambda: stream.acknowledged_bytes == 4)
                assert await backend.interrupt(conversation) == 1
                while True:
                    await stream.send(b"ab")
        assert interrupted.value.turn == 1
        assert "new turn" in interrupted.value.action


async def test_a_held_turn_outlives_its_silence(open_rig, eventually) -> None:
    async with open_rig(input_timeout_s=0.4) as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()
        async with backend.speech(conversation) as stream:
            await stream.send(b"ab")
            for _ in range(10):
                await asyncio.sleep(0.1)
                await stream.hold()
            await stream.send(b"cd")
        assert await rig.audio(conversation) == {1: b"abcd"}


async def test_a_turn_that_was_silent_for_too_long(open_rig, eventually) -> None:
    async with open_rig(input_timeout_s=0.1) as rig, Backend(rig.url, rig.key) as backend:
        with pytest.raises(SpeechInterrupted):
            async with backend.speech(await rig.create()) as stream:
                await stream.send(b"ab")
                await eventually(lambda: stream.acknowledged_bytes)
                await asyncio.sleep(0.2)
                while True:
                    await stream.send(b"cd")


async def test_cancelled_and_gone_on_with_by_its_key(open_rig, eventually) -> None:
    """The turn is not ended as if it were complete; another stream sends it from its first byte."""
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()

        async def speak() -> None:
            async with backend.speech(conversation, key="k") as stream:
                await stream.send(b"abcd")
                await asyncio.Event().wait()

        speaking = asyncio.create_task(speak())
        await eventually(lambda: rig.input(conversation), until=lambda found: found[1] == 4)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await rig.no_speakers()
        assert await rig.input(conversation) == (1, 4, "open")

        for _ in range(2):  # and once more, when it is complete
            async with backend.speech(conversation, key="k") as stream:
                await stream.send(b"abcdefgh")
                assert await stream.end() == 1
        assert await rig.audio(conversation) == {1: b"abcdefgh"}
        with pytest.raises(SpeechRefused, match="one turn only"):
            async with backend.speech(conversation, key="k") as stream:
                await stream.send(b"abcdefghij")


async def test_a_cancelled_end_is_waited_for_again(open_rig, proxied, eventually) -> None:
    async with open_rig() as rig, proxied(rig) as (backend, proxy):
        conversation = await rig.create()
        async with backend.speech(conversation) as stream:
            await stream.send(b"ab")
            await eventually(lambda: stream.acknowledged_bytes)
            await proxy.set_mode("black hole")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.end()
            assert stream._turn.state is State.ENDING
            proxy.reset()
            await proxy.set_mode("pass")
            assert await stream.end() == 1
        assert await rig.input(conversation) == (1, 2, "ended")


async def test_refused_at_once(open_rig) -> None:
    """A permanent refusal is not retried, and the error has its reason."""
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_bytes(b"ab")
            await rig.answers(socket, 2)
            with pytest.raises(SpeechRefused) as refused:
                async with backend.speech(conversation) as stream:
                    await stream.send(b"ab")
            assert (refused.value.code, refused.value.turn) == ("turn-open", 0)
            async with backend.speech(conversation, barge_in=True) as stream:
                await stream.send(b"cd")
            assert stream.turn == 2
        with pytest.raises(SpeechRefused, match="unsupported-audio"):
            async with backend.speech(conversation, sample_rate=8000) as stream:
                await stream.send(b"ab")
        with pytest.raises(SpeechRefused, match="whole samples"):
            async with backend.speech(conversation) as stream:
                await stream.send(b"abc")
        with pytest.raises(RequestRefused) as unknown:
            async with backend.speech("nobody") as stream:
                await stream.send(b"ab")
        assert (unknown.value.status, unknown.value.problem) == (404, "unknown-conversation")


async def test_no_audio_at_all(open_rig) -> None:
    async with open_rig() as rig, Backend(rig.url, rig.key) as backend:
        conversation = await rig.create()
        async with backend.speech(conversation) as stream:
            assert await stream.end() == 0
        assert await rig.audio(conversation) == {}


async def test_control_stays_away(open_rig, proxied) -> None:
    async with open_rig() as rig, proxied(rig, give_up_s=0.3) as (backend, proxy):
        conversation = await rig.create()
        await proxy.set_mode("refuse")
        with pytest.raises(ControlUnavailable):
            async with backend.speech(conversation) as stream:
                await stream.send(b"ab")
