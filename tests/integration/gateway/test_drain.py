"""Drain: the viewers of a gateway that stops reconnect elsewhere, and none of them misses a frame."""

import asyncio

import aiohttp
from tests.rigs.gateway import assert_whole, collect, events_in, listen_to, seqs

from relay_wire import events
from relay_wire.frame import Frame


async def test_everybody_resumes_elsewhere(open_rig) -> None:
    """While frames flow: each viewer leaves by itself when advised, and gets each frame once."""
    async with open_rig(gateways=2, drain_s=0.5) as rig, asyncio.TaskGroup() as tasks:
        viewers = [await rig.viewer().__aenter__() for _ in range(20)]
        watching = [tasks.create_task(collect(viewer, 1 + 10 * 22)) for viewer in viewers]
        draining = tasks.create_task(rig.service.drain())
        for turn in range(1, 11):
            await rig.turn(turn, frames=20)
            await asyncio.sleep(0.05)
        await draining
        received = [await watch for watch in watching]

        assert all(seqs(frames) == list(range(1, 222)) for frames in received)
        for viewer in viewers:
            assert_whole(viewer)
            assert viewer.url == rig.urls[1]
            assert (viewer.report.resumes, viewer.report.advised) == (1, 1)
            await viewer.close()


async def test_who_stays_is_closed_after_its_advice(open_rig) -> None:
    """A client that does not know the advice: served until it is closed with 1012, not before its time."""
    async with open_rig(drain_s=0.5) as rig:
        loop = asyncio.get_running_loop()
        sockets = [await rig.connect() for _ in range(10)]
        began = loop.time()

        async def stay(socket: aiohttp.ClientWebSocketResponse) -> tuple[list[Frame], float]:
            frames = await listen_to(socket)
            return frames, loop.time() - began

        staying = [asyncio.create_task(stay(socket)) for socket in sockets]
        draining = asyncio.create_task(rig.service.drain())
        await rig.turn(1)
        await draining
        stayed = [await task for task in staying]

        advices = [events_in(frames, events.Reconnect) for frames, _ in stayed]
        assert all(len(advice) == 1 and advice[0].reason == "draining" for advice in advices)
        assert len({advice[0].after_ms for advice in advices}) > 1
        assert all(
            after_s * 1000 >= advice.after_ms for [advice], (_, after_s) in zip(advices, stayed, strict=True)
        )
        assert {socket.close_code for socket in sockets} == {1012}


async def test_nobody_else_gets_in(open_rig) -> None:
    """A gateway that leaves refuses viewers with a ``Retry-After``."""
    async with open_rig(drain_s=5) as rig, rig.viewer() as viewer:
        watching = asyncio.create_task(viewer.frames().__anext__())
        await watching
        draining = asyncio.create_task(rig.service.drain())
        await asyncio.sleep(0)

        assert await rig.refused() == (503, "draining")
        async with rig.http.get(rig.url.replace("ws", "http") + rig.path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        draining.cancel()


async def test_it_ends_when_the_last_has_left(open_rig) -> None:
    """An empty gateway does not wait for its time to pass."""
    async with open_rig(drain_s=3600) as rig:
        async with rig.viewer() as viewer:
            draining = asyncio.create_task(rig.service.drain())
            await collect(viewer, 1)
        async with asyncio.timeout(5):
            await draining
            await rig.service.drain()


async def test_closing_at_once(open_rig) -> None:
    """Without a drain everybody is closed with the code that sends it elsewhere."""
    async with open_rig() as rig, await rig.connect() as socket:
        await socket.receive_bytes(timeout=5)
        leaving = asyncio.create_task(rig.service.close())
        await listen_to(socket)
        await leaving

        assert socket.close_code == 1012
