"""The benchmark: what the relay adds in latency and costs in CPU while many conversations speak.

Everything is real but the vendor: processes, sockets, Redis, the SDK. CPU is the operating system's count
per process. Machines are noisy: compare figures of one run with each other, not with another day's.
"""

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from relay_cli.backend import Backend
from relay_cli.recording import percentile
from relay_cli.stack import Stack
from relay_client import Viewer
from relay_wire.frame import Kind
from relay_wire.pcm import chunk_bytes

SAMPLE_RATE = 16000
TURN_S = 10
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """Latencies by kind of frame, in milliseconds, of frames that came live."""

    audio_ms: list[float] = field(default_factory=list)
    motion_ms: list[float] = field(default_factory=list)
    frames: int = 0
    faults: int = 0
    counting: bool = False


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def watch(viewer: Viewer, measured: Measured) -> None:
    """Receive a conversation, and time every frame from its publishing to here."""
    async for frame in viewer:
        if not frame.seq or not measured.counting:
            continue
        latency_ms = time.time() * 1000 - frame.published_at_us / 1000
        measured.frames += 1
        if frame.kind is Kind.AUDIO:
            measured.audio_ms.append(latency_ms)
        elif frame.kind is Kind.MOTION:
            measured.motion_ms.append(latency_ms)
    report = viewer.report
    measured.faults += report.gaps + report.duplicates + report.out_of_order


async def talk(backend: Backend, conversation: str, pcm: bytes, start_s: float, until: float) -> None:
    """Speak turn after turn in real time, so that the avatar never falls silent."""
    await asyncio.sleep(start_s)
    while time.monotonic() < until:
        await backend.speak(conversation, pcm)
        await asyncio.sleep(TURN_S)


async def speech(conversations: int, seconds: int, console: Console) -> dict[str, Any]:
    """Scenario: so many conversations speak without a pause, one viewer each, on two gateways."""
    measured = Measured()
    pcm = os.urandom(chunk_bytes(TURN_S * 1000, SAMPLE_RATE))
    settings = {"RELAY_MAX_CONVERSATIONS": str(conversations), "RELAY_LOG_LEVEL": "warning"}
    warm_up_s = TURN_S
    async with (
        Stack(redis_url=None, settings=settings) as stack,
        Backend(stack.control.url, stack.api_key) as backend,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        ids = [(await backend.create())["id"] for _ in range(conversations)]
        viewers = [
            await Viewer(
                stack.gateway_urls[index % 2], one, await backend.token(one, ttl_s=3600), session=http
            ).__aenter__()
            for index, one in enumerate(ids)
        ]
        redis_process = stack.redis.process if stack.redis else None
        processes = {child.name: child.pid for child in stack.children}
        if redis_process is not None:
            processes["redis"] = redis_process.pid
        until = time.monotonic() + warm_up_s + seconds
        async with asyncio.TaskGroup() as tasks:
            for viewer in viewers:
                tasks.create_task(watch(viewer, measured))
            for index, one in enumerate(ids):
                tasks.create_task(talk(backend, one, pcm, TURN_S * index / conversations, until))
            await _progress(console, "warming up", warm_up_s)
            measured.counting = True
            before = {name: cpu_s(pid) for name, pid in processes.items()}
            await _progress(console, f"{conversations} conversations speak", seconds)
            measured.counting = False
            spent = {name: cpu_s(pid) - before[name] for name, pid in processes.items()}
            for one in ids:
                await backend.delete(one)
    return _report(measured, spent, conversations, seconds)


def _report(measured: Measured, spent: dict[str, float], conversations: int, seconds: int) -> dict[str, Any]:
    gateway_s = sum(cpu for name, cpu in spent.items() if name.startswith("gateway"))
    ingest_s = sum(cpu for name, cpu in spent.items() if name.startswith("ingest"))
    return {
        "scenario": "speech",
        "conversations": conversations,
        "seconds": seconds,
        "frames": measured.frames,
        "faults": measured.faults,
        "relay_latency_ms": _percentiles(measured.motion_ms),
        "audio_latency_ms": _percentiles(measured.audio_ms),
        "gateway_us": round(gateway_s / max(measured.frames, 1) * 1e6, 1),
        "ingest_us": round(ingest_s / max(measured.frames, 1) * 1e6, 1),
        "redis_us": round(spent.get("redis", 0.0) / max(measured.frames, 1) * 1e6, 1),
        "cpu_percent": {name: round(cpu / seconds * 100, 1) for name, cpu in sorted(spent.items())},
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    return {name: round(percentile(values, share), 2) for name, share in (("p50", 0.5), ("p99", 0.99))}


async def _progress(console: Console, what: str, seconds: float) -> None:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=seconds)
        while not progress.finished:
            await asyncio.sleep(0.25)
            progress.advance(task, 0.25)


def _show(report: dict[str, Any], console: Console) -> None:
    table = Table("figure", "value")
    latency, audio = report["relay_latency_ms"], report["audio_latency_ms"]
    table.add_row("speaking conversations", str(report["conversations"]))
    table.add_row("frames delivered", f"{report['frames']} in {report['seconds']} s")
    table.add_row(
        "motion: SDK callback to client socket", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    )
    table.add_row("audio: owner to client socket", f"p50 {audio['p50']} ms, p99 {audio['p99']} ms")
    table.add_row("gateway CPU per delivered frame", f"{report['gateway_us']} us")
    table.add_row("ingest CPU per frame, SDK included", f"{report['ingest_us']} us")
    table.add_row("Redis CPU per frame", f"{report['redis_us']} us")
    for name, percent in report["cpu_percent"].items():
        table.add_row(f"CPU of {name}", f"{percent} % of a core")
    table.add_row("gaps, duplicates, reorderings", str(report["faults"]))
    console.print(table)


def main(
    conversations: Annotated[int, typer.Option(min=1, help="How many speak at once.")] = 50,
    seconds: Annotated[int, typer.Option(min=5, help="How long to measure, after a warm-up of 10 s.")] = 30,
    quick: Annotated[bool, typer.Option(help="Measure 10 s only.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line at the end.")] = False,  # noqa: FBT002
) -> None:
    """Measure relay-added latency and CPU per frame with many speaking conversations on this machine."""
    console = Console(stderr=as_json)
    report = uvloop.run(speech(conversations, 10 if quick else seconds, console))
    _show(report, console)
    if as_json:
        print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
