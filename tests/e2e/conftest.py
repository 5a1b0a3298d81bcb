"""The whole relay as processes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import pytest
from tests.rigs.metrics import scraped
from tests.rigs.redis_server import Server

from relay_cli.stack import Child, Stack
from relay_client import Backend, Viewer
from relay_redis.client import RedisClient
from relay_simulator.motion import expected_payloads
from relay_streams.scripts import SCHEMA
from relay_wire import events
from relay_wire.frame import Frame, Kind

RATE = 16000


@dataclass
class Seen:
    """What one viewer received."""

    viewer: Viewer
    frames: list[Frame] = field(default_factory=list)
    finish: bool = True

    async def run(self) -> None:
        """Receive until the conversation ends; report playback as clients do."""
        async for received in self.viewer:
            if not received.seq:
                continue
            self.frames.append(received)
            event = events.decode(received.payload) if received.kind is Kind.EVENT else None
            if self.finish and isinstance(event, events.TurnEnded):
                await self.viewer.report_playback(received.turn, "finished")

    def of(self, kind: Kind, turn: int | None = None) -> list[Frame]:
        return [f for f in self.frames if f.kind is kind and turn in (None, f.turn)]

    def audio(self, turn: int | None = None) -> bytes:
        return b"".join(f.payload for f in self.of(Kind.AUDIO, turn))

    def motion(self, turn: int | None = None) -> list[bytes]:
        return [bytes(f.payload) for f in self.of(Kind.MOTION, turn)]

    def events_of(self, turn: int | None = None) -> list[Any]:
        return [events.decode(f.payload) for f in self.of(Kind.EVENT, turn)]

    @property
    def outcomes(self) -> dict[int, str]:
        ended = [(f.turn, events.decode(f.payload)) for f in self.of(Kind.EVENT)]
        return {turn: event.outcome for turn, event in ended if isinstance(event, events.TurnEnded)}

    def assert_whole(self) -> None:
        report = self.viewer.report
        assert (report.gaps, report.duplicates, report.out_of_order) == (0, 0, 0)


@dataclass
class Relay:
    """A running stack and a backend's hands on it."""

    stack: Stack
    backend: Backend
    http: aiohttp.ClientSession

    async def converse(self, **wishes: Any) -> str:
        conversation: str = (await self.backend.create(**wishes)).id
        return conversation

    async def watch(self, conversation: str, gateway: int = 0, **options: Any) -> Seen:
        urls = self.stack.gateway_urls
        viewer = Viewer(
            urls[gateway:] + urls[:gateway], conversation, (await self.backend.token(conversation)).token,
            session=self.http, **options,
        )  # fmt: skip
        return await self.seen(viewer)

    async def seen(self, viewer: Viewer) -> Seen:
        """A viewer that is connected."""
        return Seen(await viewer.__aenter__())

    async def owner_of(self, conversation: str) -> Child:
        """The worker that owns it now."""
        owner = (await self.backend.read(conversation)).owner
        [child] = [child for child in self.stack.workers if child.addresses["worker"] == owner]
        return child

    async def simulator(self, method: str, path: str, **body: Any) -> Any:
        assert self.stack.simulator is not None
        url = f"{self.stack.simulator.url}/admin/{path}"
        async with self.http.request(method, url, json=body or None) as response:
            return await response.json() if response.content_type == "application/json" else None

    async def expected_motion(self, pcm: bytes, avatar_id: str) -> list[list[bytes]]:
        """What the stand-in must have sent for each of this avatar's turns, all of them with this speech."""
        requests = (await self.simulator("GET", "requests"))["requests"]
        answers = []
        for request in requests:
            if request["avatar_id"] == avatar_id:
                payloads = expected_payloads(
                    seed=self.stack.seed, connection_id=request["connection_id"], req_id=request["req_id"],
                    sample_rate=request["sample_rate"], pcm=pcm,
                )  # fmt: skip
                assert [hashlib.sha256(p).hexdigest() for p in payloads] == request["payload_sha256"]
                answers.append(payloads)
        return answers

    async def metric(self, children: list[Child], name: str, **labels: str) -> float:
        """The sum of a metric over processes."""
        return await scraped(self.http, [child.admin for child in children], name, **labels)

    def logs(self) -> str:
        """Everything every process has logged."""
        return "\n".join(child.log_path.read_text() for child in self.stack.children)


@asynccontextmanager
async def open_relay(redis_url: str, **options: Any) -> AsyncIterator[Relay]:
    """A whole relay in a database that it has for itself.

    A module whose tests leave the processes as they are opens one for all: its start costs seconds.
    """
    options = {"speed": 10.0, "settings": {}, **options}
    async with RedisClient(redis_url, SCHEMA, name="test") as client:
        await client.execute("FLUSHALL")  # what an earlier test left open would find new owners
    stack = Stack(redis_url=redis_url, **options)
    async with (
        stack,
        Backend(stack.control.url, stack.api_key) as backend,
        aiohttp.ClientSession() as http,
    ):
        yield Relay(stack, backend, http)


@pytest.fixture
def relay(redis_server: Server):
    """``async with relay(...) as r``: a whole relay on the given server."""
    return partial(open_relay, redis_server.url)


@pytest.fixture(scope="session")
def speech() -> bytes:
    """Three seconds that are not silence."""
    return bytes(index * index % 253 for index in range(3 * 2 * RATE))


@asynccontextmanager
async def watching(*seen: Seen) -> AsyncIterator[None]:
    """Viewers receive while the block runs, and until their conversation has ended."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for one in seen:
            tasks.create_task(one.run())
        yield


@pytest.fixture(name="watching")
def _watching() -> Any:
    return watching
