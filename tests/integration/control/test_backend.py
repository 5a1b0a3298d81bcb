"""The backend client: a turn is in once, whatever happens to its connections; on both servers."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.proxy import Proxy

from relay_cli.backend import Backend, BackendError


@asynccontextmanager
async def proxied(b) -> AsyncIterator[tuple[Backend, Proxy]]:
    """A backend that reaches control through a proxy."""
    port = int(b.url.rsplit(":", 1)[1])
    async with Proxy("127.0.0.1", port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        async with Backend(url, b.key, patience_s=5) as backend:
            yield backend, proxy


async def test_a_live_turn_cut_again_and_again(bench, eventually) -> None:
    """It goes on over new connections from what was acknowledged."""
    dice = random.Random(4)
    async with bench() as b, proxied(b) as (backend, proxy):
        expected = {}
        conversation = await b.create()
        for turn in (1, 2, 3):
            pcm = expected[turn] = dice.randbytes(3_000_000)
            cuts = 0

            def chunks(pcm: bytes = pcm) -> Iterator[bytes]:
                nonlocal cuts
                start = 0
                while start < len(pcm):
                    size = dice.randrange(1, 100_000)
                    yield pcm[start : start + size]
                    start += size
                    if dice.random() < 0.2:
                        cuts += 1
                        proxy.reset()

            assert await backend.speak_live(conversation, chunks()) == turn
            assert cuts > 3
        assert await b.audio(conversation) == expected
        assert await b.input(conversation) == (3, 3_000_000, "ended")


async def test_a_post_cut_again_and_again(bench) -> None:
    """Posted until it is answered, spoken once."""
    dice = random.Random(5)
    pcm = dice.randbytes(200_000)
    async with bench(audio_chunk_ms=10) as b, proxied(b) as (backend, proxy):
        conversation = await b.create()
        post = asyncio.create_task(backend.speak(conversation, pcm))
        for _ in range(4):
            await asyncio.sleep(dice.random() * 0.1)
            proxy.reset()

        assert (await post)["turn"] == 1
        assert await b.audio(conversation) == {1: pcm}


async def test_interrupted_while_speaking_live(bench) -> None:
    """Told, not tried again."""
    async with bench() as b, Backend(b.url, b.key) as backend:
        conversation = await b.create()

        def chunks() -> Iterator[bytes]:
            for _ in range(40):
                yield bytes(100_000)

        async def interrupt() -> None:
            while (await b.input(conversation))[0] == 0:
                await asyncio.sleep(0)
            await backend.interrupt(conversation)

        interrupting = asyncio.create_task(interrupt())
        with pytest.raises(BackendError, match="not taken"):
            await backend.speak_live(conversation, chunks())
        await interrupting


async def test_cancelled_while_speaking_live(bench) -> None:
    """The turn is not ended as if it were complete."""
    async with bench() as b, Backend(b.url, b.key) as backend:
        conversation = await b.create()

        def chunks() -> Iterator[bytes]:
            yield bytes(2_000_000)
            speaking.cancel()
            yield bytes(2_000_000)  # more than may be sent without an ack

        speaking = asyncio.create_task(backend.speak_live(conversation, chunks()))
        with pytest.raises(asyncio.CancelledError):
            await speaking
        await b.no_speakers()

        assert (await b.input(conversation))[2] == "open"


async def test_refused_at_once(bench) -> None:
    """What will not pass is not waited for."""
    async with bench() as b, Backend(b.url, b.key) as backend:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"ab")
            await b.answers(socket, 2)
            with pytest.raises(BackendError, match="turn-open"):
                await backend.speak_live(conversation, [b"ab"])
            with pytest.raises(BackendError, match="409"):
                await backend.speak(conversation, b"ab")
            assert await backend.speak_live(conversation, [b"cd"], barge_in=True) == 2
        with pytest.raises(BackendError, match="404"):
            await backend.speak_live("nobody", [b"ab"])


async def test_control_stays_away(bench) -> None:
    """Given up when patience ends, and said why."""
    async with bench() as b, proxied(b) as (backend, proxy):
        conversation = await b.create()
        backend._patience_s = 0.3
        await proxy.set_mode("refuse")
        with pytest.raises(BackendError, match="away"):
            await backend.speak_live(conversation, [b"ab"])
