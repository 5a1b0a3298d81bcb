"""Targets: servers under test, and one measurement of one of them."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from tests.benchmarks.cpu import SATURATED, Meter, Usage
from tests.benchmarks.load import Endpoint
from tests.benchmarks.traffic import Traffic
from tests.benchmarks.worker import Worker

WARM_UP_S = 0.75
ENDPOINTS_AT_ONCE = 1000
"""Viewers asked for in one command, so that each answers in time."""


@dataclass(frozen=True)
class Sample:
    """What one server did in one window of steady work."""

    target: str
    offered: float
    """Frames a second that should have been delivered."""
    seconds: float
    frames: int
    faults: int
    closed: int
    latency_ms: dict[str, float]
    last_viewer_ms: dict[str, float] | None
    usage: Usage
    published: int
    late_ms: float

    def us_per_frame(self, role: str = "server") -> float:
        """CPU microseconds of a role per delivered frame."""
        return self.usage.cpu_s.get(role, 0.0) / max(self.frames, 1) * 1e6

    @property
    def rate(self) -> float:
        """Frames delivered a second."""
        return self.frames / self.seconds

    @property
    def kept_up(self) -> bool:
        """Whether what was offered was delivered, in order."""
        return self.rate > 0.95 * self.offered and not self.faults and not self.closed

    @property
    def saturated(self) -> bool:
        """Whether the machine had nothing left."""
        return self.usage.idle < SATURATED


class Target(ABC):
    """A server with what feeds it and what listens to it. Enter it to start all; leaving ends all."""

    name: str
    publisher: Worker
    """Lets traffic flow: it is asked to ``begin`` and to ``end``."""

    def __init__(self, conversations: int, viewers: int = 1) -> None:
        self.conversations = conversations
        self.viewers = viewers
        """Of each conversation."""
        self.load = Worker.module("load")
        self.pids: dict[str, list[int]] = {}
        """Processes whose CPU counts, by role; ``server`` is what is compared."""
        self.stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            starting.push_async_callback(self.stack.aclose)
            await self.stack.enter_async_context(self.load)
            await self.start()
            starting.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    @abstractmethod
    async def start(self) -> None:
        """Start the processes, put them on ``stack`` and into ``pids``."""

    @abstractmethod
    def endpoints(self) -> Sequence[Endpoint]:
        """The viewers."""

    async def begin(self, traffic: Traffic) -> None:
        """Let traffic flow."""
        await self.publisher.ask("begin", traffic=traffic.as_json())

    async def end(self) -> dict[str, Any]:
        """Stop it; returns ``published`` and ``late_ms``."""
        report: dict[str, Any] = await self.publisher.ask("end")
        return report

    async def connect(self, endpoints: Sequence[Endpoint] | None = None) -> None:
        """Connect these viewers, or all, and wait until frames would reach them."""
        endpoints = self.endpoints() if endpoints is None else endpoints
        for some in _batches(endpoints, ENDPOINTS_AT_ONCE):
            await self.load.ask("connect", endpoints=[msgspec.to_builtins(endpoint) for endpoint in some])

    async def measure(self, traffic: Traffic, seconds: float) -> Sample:
        """Let traffic flow, wait until it is steady, and measure for this time."""
        await self.begin(traffic)
        await asyncio.sleep(WARM_UP_S)
        await self.load.ask("begin")
        meter, start = Meter(self.pids), time.monotonic()
        await asyncio.sleep(seconds)
        seconds = time.monotonic() - start
        usage = meter.read(seconds)
        got = await self.load.ask("end")
        sent = await self.end()
        return Sample(
            self.name, traffic.rate * self.viewers, seconds, got["frames"], got["faults"], got["closed"],
            got["latency_ms"], got["last_viewer_ms"], usage, sent["published"], sent["late_ms"],
        )  # fmt: skip


def _batches(endpoints: Sequence[Endpoint], size: int) -> Iterator[Sequence[Endpoint]]:
    return (endpoints[start : start + size] for start in range(0, len(endpoints), size))
