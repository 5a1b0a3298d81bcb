"""``make soak``: hundreds of conversations, and something breaks every few seconds.

Every frame is followed to every viewer, as in ``make faults``; content is not kept. The memory of every
process is watched: its slope is the least-squares fit over the second half of the run.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tests.faults.lab import Lab, Setup, open_lab

from relay_cli.console import open_console
from relay_telemetry import logs

SETUP = Setup(
    conversations=200, viewers=3, workers=3, gateways=3, chunk_ms=250, pause_s=6.0, content=False,
    settings={"RELAY_UPLINK_WAIT_S": "20"},
)  # fmt: skip
_CALM_S = 4.0, 8.0
"""Between the end of a fault and the next: one at a time."""
_SAMPLE_S = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_MIB = 1024 * 1024
_MAX_SLOPE = 2 * _MIB
"""Bytes per minute that a process of the relay may grow."""
_WARM_MINUTES = 4.0
"""In shorter runs rings and pools still fill up: then the slope is shown and not judged."""

Fault = Callable[[Lab, random.Random], Awaitable[None]]


async def _kill_worker(lab: Lab, noise: random.Random) -> None:
    # The first of each kind lives, so that its memory can be watched.
    victim = noise.choice(lab.stack.workers[1:])
    lab.stack.workers.remove(victim)
    victim.signal(signal.SIGKILL)
    await victim.stop()
    await lab.add_worker()


async def _stop_worker(lab: Lab, noise: random.Random) -> None:
    victim = noise.choice(lab.stack.workers[1:])
    lab.stack.workers.remove(victim)
    await victim.stop()
    await lab.add_worker()


async def _pause_worker(lab: Lab, noise: random.Random) -> None:
    victim = noise.choice(lab.stack.workers)
    victim.signal(signal.SIGSTOP)
    await asyncio.sleep(3)
    victim.signal(signal.SIGCONT)


async def _kill_gateway(lab: Lab, noise: random.Random) -> None:
    await _replace_gateway(lab, noise, signal.SIGKILL)


async def _drain_gateway(lab: Lab, noise: random.Random) -> None:
    await _replace_gateway(lab, noise, signal.SIGTERM)


async def _replace_gateway(lab: Lab, noise: random.Random, how: signal.Signals) -> None:
    victim = noise.choice(lab.stack.gateways[1:])
    lab.stack.gateways.remove(victim)
    await lab.stack.add_gateway()
    urls = lab.stack.gateway_urls
    for viewer in lab.viewers:  # as a load balancer would find the new one
        viewer._urls = noise.sample(urls, len(urls))
    victim.signal(how)
    await victim.stop()


async def _cut_viewers(lab: Lab, noise: random.Random) -> None:
    for viewer in noise.sample(lab.viewers, len(lab.viewers) // 3):
        viewer.leave_for(noise.uniform(0, 2))


async def _cut_speakers(lab: Lab, noise: random.Random) -> None:
    for talk in noise.sample(lab.talks, len(lab.talks) // 3):
        talk.speaker.cut()


async def _reset_redis(lab: Lab, _noise: random.Random) -> None:
    for kind in ("normal", "pubsub"):
        await lab.store.execute("CLIENT", "KILL", "TYPE", kind)


async def _pause_redis(lab: Lab, _noise: random.Random) -> None:
    process = lab.store.one.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2)
    process.send_signal(signal.SIGCONT)


async def _lose_redis(lab: Lab, _noise: random.Random) -> None:
    lab.store.kill()
    await asyncio.sleep(0.5)
    lab.store.start_again()


FAULTS: dict[str, Fault] = {
    "worker killed": _kill_worker,
    "worker stopped": _stop_worker,
    "worker paused": _pause_worker,
    "gateway killed": _kill_gateway,
    "gateway drained": _drain_gateway,
    "viewers cut": _cut_viewers,
    "speakers cut": _cut_speakers,
    "Redis connections reset": _reset_redis,
    "Redis paused": _pause_redis,
    "Redis lost": _lose_redis,
}


class Memory:
    """Resident memory of every process, over time."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._samples: dict[str, list[tuple[float, int]]] = defaultdict(list)

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            for name, pid in self._processes().items():
                if resident := _resident_bytes(pid):
                    self._samples[name].append((time.monotonic() / 60, resident))
            await asyncio.sleep(_SAMPLE_S)

    def slopes(self, since: float) -> dict[str, dict[str, float]]:
        """Of the processes that lived since this moment (monotonic seconds): MiB now, bytes per minute."""
        found = {}
        latest = max(at for samples in self._samples.values() for at, _ in samples)
        for name, samples in sorted(self._samples.items()):
            late = [(at, resident) for at, resident in samples if at * 60 >= since]
            if len(late) > 2 and samples[0][0] * 60 <= since and late[-1][0] > latest - _SAMPLE_S / 60:
                slope = linear_regression(*zip(*late, strict=True)).slope
                found[name] = {"mib": round(late[-1][1] / _MIB, 1), "bytes_per_minute": round(slope)}
        return found

    def _processes(self) -> dict[str, int]:
        stack = self._lab.stack
        pids = {child.name: child.pid for child in stack.children if child._process is not None}
        redis = self._lab.store.one.process
        return pids | ({"redis": redis.pid} if redis else {})


def _resident_bytes(pid: int) -> int:
    """0 when the process is gone."""
    pages = Path(f"/proc/{pid}/statm")
    return int(pages.read_text().split()[1]) * _PAGE_BYTES if pages.exists() else 0


async def soak(minutes: float, conversations: int, seed: int, console: Console) -> dict[str, Any]:
    """Run it; returns the report."""
    noise = random.Random(seed)
    struck: Counter[str] = Counter()
    async with open_lab(replace(SETUP, conversations=conversations)) as lab:
        memory = Memory(lab)
        watching = lab.tasks.spawn(memory.watch(), name="memory")
        began = time.monotonic()
        until, half = began + minutes * 60, began + minutes * 30
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("soaking", total=minutes * 60)
            while time.monotonic() < until and not _note_the_dead(lab):
                name = noise.choice(list(FAULTS))
                progress.update(bar, completed=time.monotonic() - began, description=name)
                await FAULTS[name](lab, noise)
                struck[name] += 1
                await asyncio.sleep(noise.uniform(*_CALM_S))
        slopes = memory.slopes(half)
        watching.cancel()
        await lab.finish(timeout_s=60)
        verdict = await lab.judge()
    relay = {
        name: of for name, of in slopes.items() if name.split("-")[0] in ("gateway", "ingest", "control")
    }
    judged = relay if minutes >= _WARM_MINUTES else {}
    growing = [name for name, of in judged.items() if of["bytes_per_minute"] > _MAX_SLOPE]
    lab.problems += [f"{name} grows by {relay[name]['bytes_per_minute']} bytes a minute" for name in growing]
    return {
        "ok": verdict.whole and not lab.problems,
        **verdict.to_json(),
        "minutes": minutes,
        "conversations": conversations,
        "viewers": len(lab.viewers),
        "faults": dict(struck),
        "memory": slopes,
        "problems": lab.problems,
    }


def _note_the_dead(lab: Lab) -> bool:
    """Whether a process has ended unexpectedly: with the end of its log among the problems."""
    dead = [child for child in lab.stack.children if not child.alive]
    lab.problems += [f"{child.name} ended by itself: {child.log_tail(3000)}" for child in dead]
    return bool(dead)


def _show(report: dict[str, Any], console: Console) -> None:
    table = Table("figure", "value")
    for name in ("frames", "lost", "duplicated", "reordered", "altered", "holes", "gaps"):
        table.add_row(name, f"{report[name]:,}")
    table.add_row("faults", ", ".join(f"{count} {name}" for name, count in report["faults"].items()))
    for name, of in report["memory"].items():
        table.add_row(f"memory of {name}", f"{of['mib']} MiB, {of['bytes_per_minute'] / 1024:+,.0f} KiB/min")
    console.print(table)
    for problem in report["problems"]:
        console.print(f"[bold red]failed[/]: {problem}", highlight=False, soft_wrap=True)


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 10,
    conversations: Annotated[int, typer.Option(min=1, help="How many talk at once.")] = SETUP.conversations,
    seed: Annotated[int, typer.Option(help="Decides which faults strike.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,  # noqa: FBT002
) -> None:
    """Let many conversations talk while something breaks every few seconds; nothing may be lost."""
    console = open_console(stderr=as_json)
    logs.configure("soak", level="error", style="console")
    report = uvloop.run(soak(minutes, conversations, seed, console))
    _show(report, console)
    if as_json:
        print(json.dumps(report))  # noqa: T201
    raise typer.Exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    typer.run(main)
