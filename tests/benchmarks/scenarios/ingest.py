"""Ingest: speech through the real SDK, worker and gateways, as in the demo."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from tests.benchmarks.cpu import Meter, Usage
from tests.benchmarks.load import percentiles
from tests.benchmarks.report import Report
from tests.benchmarks.scenario import Options, scenario

from relay_cli.stack import Stack
from relay_client import Backend, Viewer
from relay_runtime.tasks import TaskScope
from relay_wire.frame import Frame, Kind
from relay_wire.pcm import chunk_bytes

CONVERSATIONS = 40
SAMPLE_RATE = 16000
TURN_S = 10


@dataclass
class Received:
    """What all viewers received while it counted."""

    motion_ns: list[int] = field(default_factory=list)
    audio_ns: list[int] = field(default_factory=list)
    frames: int = 0
    counting: bool = False

    def begin(self) -> None:
        """Count from zero."""
        self.motion_ns, self.audio_ns, self.frames, self.counting = [], [], 0, True

    def add(self, frame: Frame) -> None:
        """One frame of a stream, just received."""
        if frame.seq and self.counting:
            self.frames += 1
            latency_ns = time.time_ns() - frame.published_at_us * 1000
            if frame.kind is not Kind.EVENT:
                (self.motion_ns if frame.kind is Kind.MOTION else self.audio_ns).append(latency_ns)


class Speech:
    """Conversations that never fall silent, one viewer each, one worker, one gateway. Enter it to begin.

    Args:
        conversations: How many.
        settings: Variables for all processes.
    """

    def __init__(self, conversations: int, settings: Mapping[str, str] | None = None) -> None:
        self.conversations = conversations
        self._settings = {
            "RELAY_MAX_CONVERSATIONS": str(conversations),
            "RELAY_LOG_LEVEL": "warning",
            **(settings or {}),
        }
        self._received = Received()
        self._viewers: list[Viewer] = []
        self._open = AsyncExitStack()
        self._stack: Stack

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as beginning:
            beginning.push_async_callback(self._open.aclose)
            await self._begin()
            beginning.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _begin(self) -> None:
        enter = self._open.enter_async_context
        self._stack = await enter(Stack(gateways=1, workers=1, settings=self._settings))
        backend = await enter(Backend(self._stack.control.url, self._stack.api_key))
        http = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        tasks = await enter(TaskScope())
        pcm = os.urandom(chunk_bytes(TURN_S * 1000, SAMPLE_RATE))
        for start_s in _spread(self.conversations):
            conversation = (await backend.create()).id
            token = (await backend.token(conversation, ttl_s=3600)).token
            viewer = await enter(Viewer(self._stack.gateway_urls[0], conversation, token, session=http))
            self._viewers.append(viewer)
            tasks.spawn(_watch(viewer, self._received), name="watch")
            tasks.spawn(_talk(backend, conversation, pcm, start_s), name="talk")

    async def measure(self, seconds: float) -> tuple[Received, Usage, float]:
        """What viewers received from now on, the CPU that it took, and the seconds."""
        received = self._received
        received.begin()
        meter, start = Meter(dict(_processes(self._stack))), time.monotonic()
        await asyncio.sleep(seconds)
        spent_s = time.monotonic() - start
        received.counting = False
        return received, meter.read(spent_s), spent_s

    @property
    def faults(self) -> int:
        """Frames lost, repeated or out of order."""
        reports = [viewer.report for viewer in self._viewers]
        return sum(each.gaps + each.duplicates + each.out_of_order for each in reports)


@scenario(
    "ingest",
    "speech through the real SDK and the simulator: CPU per frame, conversations per core",
    peers=False,
)
async def ingest(options: Options) -> Report:
    """CPU of each process, once all conversations speak."""
    conversations = options.conversations or CONVERSATIONS
    seconds = options.seconds or (12.0 if options.quick else 40.0)
    report = Report("ingest")
    async with Speech(conversations) as speech:
        options.progress(f"{conversations} conversations begin to speak")
        await asyncio.sleep(TURN_S)
        options.progress(f"{conversations} conversations speak")
        received, usage, spent_s = await speech.measure(seconds)
        options.progress("ending")
    frames = max(received.frames, 1)
    us = {role: round(cpu_s / frames * 1e6, 1) for role, cpu_s in usage.cpu_s.items()}
    report.extra |= {
        "conversations": conversations,
        "frames": received.frames,
        "faults": speech.faults,
        "relay_latency_ms": percentiles(received.motion_ns),
        "audio_latency_ms": percentiles(received.audio_ns),
        "gateway_us": us["gateway"],
        "redis_us": us["redis"],
        "ingest_us": us["ingest"],
        "cpu_percent": {role: round(cpu_s / spent_s * 100, 1) for role, cpu_s in usage.cpu_s.items()},
        "conversations_per_core": round(conversations / (usage.cpu_s["ingest"] / spent_s)),
        "idle": round(usage.idle, 2),
    }
    report.notes.append("Ingest's CPU has the vendor's SDK in it; what publishing costs alone is in 'burst'.")
    return report


async def _watch(viewer: Viewer, received: Received) -> None:
    async for frame in viewer:
        received.add(frame)


async def _talk(backend: Backend, conversation: str, pcm: bytes, start_s: float) -> None:
    """Speak turn after turn in real time, so that the avatar never falls silent."""
    await asyncio.sleep(start_s)
    while True:
        await backend.post_turn(conversation, pcm)
        await asyncio.sleep(TURN_S)


def _spread(conversations: int) -> Iterator[float]:
    return (TURN_S * number / conversations for number in range(conversations))


def _processes(stack: Stack) -> Iterator[tuple[str, list[int]]]:
    yield "gateway", [child.pid for child in stack.gateways]
    yield "ingest", [child.pid for child in stack.workers]
    yield "control", [stack.control.pid]
    if stack.simulator:
        yield "simulator", [stack.simulator.pid]
    if stack.redis and stack.redis.process:
        yield "redis", [stack.redis.process.pid]
