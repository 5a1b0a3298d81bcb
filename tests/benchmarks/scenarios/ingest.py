"""Ingest: speech through the real SDK, worker and gateways, as in the demo."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
from tests.benchmarks.cpu import Meter
from tests.benchmarks.load import percentiles
from tests.benchmarks.report import Report
from tests.benchmarks.scenario import Options, scenario

from relay_cli.stack import Stack
from relay_client import Backend, Viewer
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

    def add(self, frame: Frame) -> None:
        """One frame of a stream, just received."""
        if frame.seq and self.counting:
            self.frames += 1
            latency_ns = time.time_ns() - frame.published_at_us * 1000
            if frame.kind is not Kind.EVENT:
                (self.motion_ns if frame.kind is Kind.MOTION else self.audio_ns).append(latency_ns)


@scenario(
    "ingest",
    "speech through the real SDK and the simulator: CPU per frame, conversations per core",
    peers=False,
)
async def ingest(options: Options) -> Report:
    """Conversations that never fall silent, one viewer each, one worker, one gateway."""
    conversations = options.conversations or CONVERSATIONS
    seconds = options.seconds or (12.0 if options.quick else 40.0)
    report, received = Report("ingest"), Received()
    settings = {"RELAY_MAX_CONVERSATIONS": str(conversations), "RELAY_LOG_LEVEL": "warning"}
    pcm = os.urandom(chunk_bytes(TURN_S * 1000, SAMPLE_RATE))
    async with AsyncExitStack() as open_:
        stack = await open_.enter_async_context(Stack(gateways=1, workers=1, settings=settings))
        backend = await open_.enter_async_context(Backend(stack.control.url, stack.api_key))
        http = await open_.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        ids = [(await backend.create()).id for _ in range(conversations)]
        viewers = []
        for one in ids:
            token = (await backend.token(one, ttl_s=3600)).token
            viewers.append(
                await open_.enter_async_context(Viewer(stack.gateway_urls[0], one, token, session=http))
            )
        until = time.monotonic() + TURN_S + seconds
        async with asyncio.TaskGroup() as tasks:
            for viewer in viewers:
                tasks.create_task(_watch(viewer, received))
            for one, start_s in zip(ids, _spread(conversations), strict=True):
                tasks.create_task(_talk(backend, one, pcm, start_s, until))
            options.progress(f"{conversations} conversations begin to speak")
            await asyncio.sleep(TURN_S)
            options.progress(f"{conversations} conversations speak")
            received.counting = True
            meter, start = Meter(dict(_processes(stack))), time.monotonic()
            await asyncio.sleep(seconds)
            spent_s = time.monotonic() - start
            usage = meter.read(spent_s)
            received.counting = False
            options.progress("ending")
            for one in ids:
                await backend.end(one)
    frames = max(received.frames, 1)
    us = {role: round(cpu_s / frames * 1e6, 1) for role, cpu_s in usage.cpu_s.items()}
    report.extra |= {
        "conversations": conversations,
        "frames": received.frames,
        "faults": sum(v.report.gaps + v.report.duplicates + v.report.out_of_order for v in viewers),
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


async def _talk(backend: Backend, conversation: str, pcm: bytes, start_s: float, until: float) -> None:
    """Speak turn after turn in real time, so that the avatar never falls silent."""
    await asyncio.sleep(start_s)
    while time.monotonic() < until:
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
