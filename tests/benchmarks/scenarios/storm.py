"""Storm: everybody comes back at once, and wants the turn from its start."""

import time

import msgspec
from tests.benchmarks.cpu import Meter
from tests.benchmarks.floor import Floor
from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.traffic import Traffic

CONVERSATIONS = 500
VIEWERS = 4
TURN_FRAMES = 50
FRAME_BYTES = 2048
SPREAD_S = 1.0
"""Time in which all reconnect."""
TIMEOUT_S = 30.0
FLOOR_S = 2.0


@scenario("storm", "2,000 viewers reconnect within 1 s, each replaying a turn of 100 KB", peers=False)
async def storm(options: Options) -> Report:
    """Of 500 conversations with four viewers each; handshakes are in the cost of a frame."""
    conversations, viewers = options.conversations or CONVERSATIONS, options.viewers or VIEWERS
    size_bytes = options.frame_bytes or FRAME_BYTES
    report = Report("storm")
    async with Relay(conversations, viewers) as relay:
        options.progress(
            f"publishing a turn in {conversations} conversations, connecting {conversations * viewers}"
        )
        await relay.connect()
        await relay.publisher.ask("turns", frames=TURN_FRAMES, frame_bytes=size_bytes)
        await relay.load.ask("leave")
        endpoints = [
            relay.endpoint(number, one, "last") for number in range(conversations) for one in range(viewers)
        ]
        options.progress(f"{len(endpoints)} viewers come back")
        meter, start = Meter(relay.pids), time.monotonic()
        came = await relay.load.ask(
            "storm", endpoints=[msgspec.to_builtins(endpoint) for endpoint in endpoints],
            spread_s=SPREAD_S, frames=TURN_FRAMES, timeout_s=TIMEOUT_S,
        )  # fmt: skip
        usage = meter.read(time.monotonic() - start)
    frames = came["frames"]
    options.progress("the floor: the same frames to as many sockets in the same time")
    async with Floor(conversations, viewers) as floor:
        await floor.connect()
        rate = conversations * TURN_FRAMES / came["all_whole_s"]
        report.samples.append(await floor.measure(Traffic.steady(conversations, size_bytes, rate), FLOOR_S))
    gateway_us, floor_us = usage.cpu_s["server"] / max(frames, 1) * 1e6, report.us("floor")
    report.extra |= {
        "viewers": len(endpoints),
        "frames": frames,
        "whole": came["whole"],
        "faults": came["faults"],
        "all_whole_s": came["all_whole_s"],
        "relay_latency_ms": came["viewer_ms"],
        "gateway_us": round(gateway_us, 1),
        "ratio_to_floor": floor_us and round(gateway_us / floor_us, 2),
        "redis_us": round(usage.cpu_s["redis"] / max(frames, 1) * 1e6, 1),
        "gateway_ms_per_viewer": round(usage.cpu_s["server"] / len(endpoints) * 1e3, 2),
    }
    report.goals += [
        Goal("seconds until all are whole", 3.0, came["all_whole_s"]),
        Goal("viewers not whole", 0, len(endpoints) - came["whole"]),
    ]
    report.notes.append("Latency is a viewer's time from its handshake's start until it has the whole turn.")
    return report
