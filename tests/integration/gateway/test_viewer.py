"""The viewer: how it comes back, from real gateways and from ones that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.rigs.eventually import eventually
from tests.rigs.gateway import assert_whole, collect, seqs

from relay_client import Viewer, ViewerError
from relay_runtime.http import listen
from relay_wire import events, frame
from relay_wire.frame import Codec, Flags, Frame, Kind


def a_frame(seq: int, event: events.Event | None = None) -> bytes:
    payload = events.encode(event) if event else b"x"
    kind = Kind.EVENT if event else Kind.AUDIO
    return frame.encode(Frame(kind, Flags.NONE, Codec.PCM_S16LE, 1, 7, seq, 0, 0, payload))


HELLO = a_frame(0, events.Hello("7-0", 1, 16000, "pcm_s16le", "ava"))


class Stub:
    """A gateway that handles each connection as configured; then it ends the conversation."""

    def __init__(self, *acts: Callable[[web.WebSocketResponse], Awaitable[object]], last: int = 2) -> None:
        self.wanted: list[str] = []
        self._acts = list(acts)
        self._last = last

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.wanted.append(request.query["from"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(HELLO)
        if self._acts:
            await self._acts.pop(0)(socket)
        else:
            await socket.send_bytes(a_frame(self._last, events.ConversationEnded("over")))
            await socket.close(code=4410)
        return socket

    @asynccontextmanager
    async def viewer(self, **options: Any) -> AsyncIterator[Viewer]:
        app = web.Application()
        app.router.add_get("/v1/conversations/c/stream", self.stream)
        async with (
            listen(app, "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as http,
            Viewer(url, "c", "token", session=http, **options) as viewer,
        ):
            yield viewer


async def test_it_goes_to_another_gateway(open_rig) -> None:
    """The one that failed is not asked again while there is another."""
    async with open_rig(gateways=2) as rig, rig.viewer() as viewer:
        await rig.turn(1)
        await collect(viewer, 8)
        for gateway in (1, 0, 1):
            viewer.cut()
            await rig.turn(2 + viewer.report.resumes)
            await collect(viewer, 7)
            assert viewer.url == rig.urls[gateway]

        assert viewer.report.resumes == 3
        assert_whole(viewer)


async def test_a_leaving_gateway_is_passed_over(open_rig) -> None:
    """Refused by the first, it connects to the second; with a single one it waits for the advised time."""
    async with open_rig(gateways=2) as rig:
        await rig.service.close()
        async with rig.viewer() as viewer:
            assert viewer.url == rig.urls[1]
            assert viewer.report.failures == 1

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await rig.connect()
        assert viewer._refusal(refusal.value).after_s == 0
        assert Viewer(rig.url, "c", "token")._refusal(refusal.value).after_s == 1


async def test_advice_is_taken_by_the_viewer_itself() -> None:
    """It leaves at the advised moment, gets what comes until then, and resumes after the last of it."""

    async def advise(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(a_frame(0, events.Reconnect(50, "draining")))
        await socket.send_bytes(a_frame(1))
        assert await socket.receive() == aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, 1000, "")

    stub = Stub(advise)
    async with stub.viewer() as viewer:
        assert seqs([got async for got in viewer]) == [1, 2]

        assert stub.wanted == ["turn", "7-1"]
        assert (viewer.report.resumes, viewer.report.advised) == (1, 1)
        assert_whole(viewer)


async def test_an_advised_viewer_keeps_the_old_until_it_has_the_new(open_rig) -> None:
    """Without another gateway it stays: an early drain loses no viewer."""
    async with open_rig(gateways=2) as rig, rig.viewer() as viewer:
        watching = asyncio.create_task(collect(viewer, 15))
        await rig.turn(1)
        rig.services[1].hub.leaving = True
        [subscriber] = rig.service.hub
        subscriber.send_event(events.Reconnect(0, "draining"))
        await eventually(lambda: viewer.report.failures)
        await rig.turn(2)

        assert seqs(await watching) == list(range(1, 16))
        assert_whole(viewer)


@pytest.mark.parametrize("code", [1001, 1012, 4100, 4200, 1013])
async def test_a_gateway_that_closes_at_once(code) -> None:
    """Accepting is not enough: the waits grow, and the viewer gives up."""

    async def close(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code)

    stub = Stub(*[close] * 1000)
    async with stub.viewer(give_up_s=0.5) as viewer:
        with pytest.raises(ViewerError):
            await collect(viewer, 1)

        assert 2 <= len(stub.wanted) < 25


async def test_a_gateway_that_breaks_now_and_then() -> None:
    """Frames make a connection a good one: the next break is a first one again."""

    async def speak_and_break(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(a_frame(len(stub.wanted)))
        await socket.close(code=1012)

    stub = Stub(*[speak_and_break] * 20, last=21)
    async with stub.viewer() as viewer:
        assert seqs([got async for got in viewer]) == list(range(1, 22))
        assert viewer.report.resumes == 20
        assert viewer._backoff._failures == 0


async def test_closing_while_it_comes_back() -> None:
    """Iteration ends; no socket and no task is left."""

    async def close(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1013)

    stub = Stub(*[close] * 1000)
    async with stub.viewer(give_up_s=None) as viewer:
        watching = asyncio.create_task(collect(viewer, 1))
        await eventually(lambda: viewer.report.resumes)
        await viewer.close()
        assert seqs(await watching) == []


async def test_an_avalanche(open_rig) -> None:
    """Everybody cut at once: everybody whole again."""
    async with open_rig(gateways=2) as rig, asyncio.TaskGroup() as tasks:
        viewers = [await rig.viewer().__aenter__() for _ in range(100)]
        watching = [tasks.create_task(collect(viewer, 15)) for viewer in viewers]
        await rig.turn(1)
        for viewer in viewers:
            viewer.cut()
        await rig.turn(2)

        for viewer, watch in zip(viewers, watching, strict=True):
            assert seqs(await watch) == list(range(1, 16))
            assert_whole(viewer)
            await viewer.close()
