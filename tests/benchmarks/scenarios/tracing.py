"""Tracing: what it costs when it is off, when it records one turn in a hundred, and when it records all."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.scenarios.ingest import CONVERSATIONS, TURN_S, Speech
from tests.benchmarks.traffic import Traffic
from tests.rigs import otlp

OFF = "off"
RATIOS = {OFF: None, "1 %": 0.01, "100 %": 1.0}
"""By name, the share of the turns that is recorded; None: there is no collector."""
RATE = 3000.0
WINDOWS = 9

Costs = Mapping[str, Mapping[str, list[float]]]
"""By process, and by the name of the ratio: CPU microseconds a frame in each window."""


@scenario(
    "tracing",
    "off, 1 % and 100 % of the turns: frames as in steady in turns, speech as in ingest at once",
    peers=False,
)
async def tracing(options: Options) -> Report:
    """The same work with each ratio; a window is compared with that of the same round without tracing."""
    report = Report("tracing")
    async with otlp.collector() as collector:
        frames = await _frames(collector.url, options)
        speech = await _speech(collector.url, options)
        report.extra["spans"] = len(collector.spans)
    for work, costs in (("frames", frames), ("speech", speech)):
        report.extra[f"{work}_us"] = {
            process: {name: round(median(values), 1) for name, values in by_ratio.items()}
            for process, by_ratio in costs.items()
        }
        report.extra[f"{work}_ratio"] = {
            process: {name: _ratio(by_ratio, name) for name in RATIOS if name != OFF}
            for process, by_ratio in costs.items()
        }
    report.goals += [
        Goal("gateway, frames, 1 %", 1.02, _ratio(frames["gateway"], "1 %")),
        Goal("all processes, speech, 1 %", 1.02, _ratio(speech["all"], "1 %")),
    ]
    return report


def _ratio(by_ratio: Mapping[str, list[float]], name: str) -> float:
    """The median of the ratios to the same window without tracing."""
    return round(median(on / off for on, off in zip(by_ratio[name], by_ratio[OFF], strict=True)), 3)


def _settings(url: str, ratio: float | None) -> dict[str, str]:
    return {} if ratio is None else {"RELAY_OTLP_ENDPOINT": url, "RELAY_TRACE_RATIO": str(ratio)}


def _none() -> dict[str, list[float]]:
    return {name: [] for name in RATIOS}


async def _frames(url: str, options: Options) -> Costs:
    """Frames at a steady rate, a window of each relay after the other; each is the first in turn."""
    conversations, size_bytes = options.conversations or 500, options.frame_bytes or 2048
    traffic = Traffic.steady(conversations, size_bytes, options.rate or RATE)
    costs: dict[str, dict[str, list[float]]] = {"gateway": _none(), "publisher": _none(), "redis": _none()}
    async with AsyncExitStack() as stack:
        relays: dict[str, Relay] = {}
        for name, ratio in RATIOS.items():
            relays[name] = await stack.enter_async_context(
                Relay(conversations, settings=_settings(url, ratio), trace_ratio=ratio or 0.0)
            )
            await relays[name].connect()
        for window in range(WINDOWS):
            names = list(RATIOS)
            first = window % len(names)
            for name in names[first:] + names[:first]:
                relay = relays[name]
                options.progress(f"frames, tracing {name}: window {window + 1} of {WINDOWS}")
                sample = await relay.measure(traffic, options.seconds or 4.0)
                for process in costs:
                    role = "server" if process == "gateway" else process
                    costs[process][name].append(sample.us_per_frame(role))
    return costs


async def _speech(url: str, options: Options) -> Costs:
    """Speech through three stacks at the same time: whatever else the machine does slows all three."""
    costs: dict[str, dict[str, list[float]]] = {}
    conversations = max(1, (options.conversations or CONVERSATIONS * 3) // 3)
    async with AsyncExitStack() as stack:
        stacks: dict[str, Speech] = {}
        for name, ratio in RATIOS.items():
            options.progress(f"speech, tracing {name}: {conversations} conversations begin to speak")
            speech = Speech(conversations, _settings(url, ratio))
            stacks[name] = await stack.enter_async_context(speech)
        await asyncio.sleep(TURN_S)
        for window in range(WINDOWS):
            options.progress(f"speech: window {window + 1} of {WINDOWS}")
            # A whole number of turns: every conversation begins and ends as many in each window.
            measured = await asyncio.gather(*(speech.measure(TURN_S) for speech in stacks.values()))
            for name, (received, usage, _) in zip(stacks, measured, strict=True):
                spent: dict[str, Any] = {**usage.cpu_s}
                spent.pop("simulator", None)
                spent["all"] = sum(spent.values())
                for process, cpu_s in spent.items():
                    costs.setdefault(process, _none())[name].append(cpu_s / max(received.frames, 1) * 1e6)
    return costs
