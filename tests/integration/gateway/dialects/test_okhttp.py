"""OkHttp, the library of the Android apps, at `/ws/agent`: an app notices every end (facts, corrections).

``make okhttp-test`` gets it, compiles ``tests/contract/okhttp`` and runs this; it needs a JDK and Maven.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.avatarkit import OPTIONS, PCM, Speaker
from tests.rigs.gateway import GatewayRig

if "OKHTTP_CLASSPATH" not in os.environ:
    pytest.skip("there is no OkHttp: make okhttp-test", allow_module_level=True)


class OkHttp:
    """A process with one client, which handles text and a failure as the app does, and no server's close."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.client = AvatarClient()
        self.ended = ""
        """The callback that told the app of the end."""

    async def receive(self, until: Callable[[], object] = bool) -> None:
        """Handle what it prints until something is so, or until it ends."""
        output = self._process.stdout
        assert output is not None
        async with asyncio.timeout(30):
            while not until():
                word, _, text = (await output.readline()).decode().rstrip("\n").partition(" ")
                if word != "text":
                    self.ended = word
                    return
                self.client.receive(text)


@asynccontextmanager
async def okhttp(rig: GatewayRig, *messages: object) -> AsyncIterator[OkHttp]:
    """An OkHttp client of the rig's conversation."""
    url = f"{rig.url}/c/{rig.token()}/ws/agent"
    texts = [json.dumps(message) for message in messages]
    process = await asyncio.create_subprocess_exec(
        *("java", "-cp", os.environ["OKHTTP_CLASSPATH"], "Client", url, *texts),
        stdout=asyncio.subprocess.PIPE,
        limit=2**21,
    )
    try:
        yield OkHttp(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_turn_ends_within_the_drain(open_rig) -> None:
    """It is whole, its round is closed, and then the app learns that the connection has ended."""
    async with open_rig(drain_s=20, **OPTIONS) as rig, okhttp(rig) as app:
        speaker = Speaker(rig)
        await app.receive(lambda: app.client.others)
        await speaker.publish(1, end=False)
        await app.receive(lambda: app.client.controller.rounds)
        drain = asyncio.create_task(rig.service.drain())
        await app.receive(lambda: app.client.messages_of("status"))
        await speaker.publish(1)
        await app.receive()
        await drain
    [played] = app.client.controller.rounds
    assert (played.audio, played.frames) == (PCM * 2, [b"m1", b"m2"])
    assert (app.client.closings, app.ended) == ({"1": 1}, "failure")


async def test_a_turn_that_outlasts_the_drain(open_rig) -> None:
    """Its round is closed before the connection ends."""
    async with open_rig(drain_s=0.1, **OPTIONS) as rig, okhttp(rig) as app:
        await app.receive(lambda: app.client.others)
        await Speaker(rig).publish(1, end=False)
        await app.receive(lambda: app.client.controller.rounds)
        drain = asyncio.create_task(rig.service.drain())
        await app.receive()
        await drain
    assert (app.client.closings, app.ended) == ({"1": 1}, "failure")


async def test_a_refusal_is_noticed(open_rig) -> None:
    """As every close by the gateway."""
    async with open_rig(bad_messages=1, **OPTIONS) as rig, okhttp(rig, "nonsense") as app:
        await app.receive()
    assert [error["code"] for error in app.client.messages_of("error")] == ["bad_message"]
    assert app.ended == "failure"
