"""Idle: viewers that are connected while no avatar speaks."""

import asyncio
import time

from tests.benchmarks.cpu import Meter, memory_bytes
from tests.benchmarks.floor import Floor
from tests.benchmarks.peers import PEERS
from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.target import Target
from tests.benchmarks.traffic import Traffic

VIEWERS = 5000
WARM_VIEWERS = 20
"""Connected before memory is read first: what a server loads once is no connection's."""
SETTLE_S = 2.0
TRICKLE = 500.0
"""Frames a second once they have been silent: what many connections add to the cost of one frame."""
TRICKLE_S = 3.0


@scenario("idle", "5,000 connected viewers of silent conversations, pings on: memory and CPU")
async def idle(options: Options) -> Report:
    """One viewer of each conversation, the costliest case; servers one after the other."""
    viewers = options.conversations or VIEWERS
    seconds = options.seconds or (6.0 if options.quick else 40.0)
    report = Report("idle", peer=options.peer)
    found = {}
    targets: list[Target] = [Relay(viewers), Floor(viewers)]
    if options.peer:
        targets.append(PEERS[options.peer](viewers))
    for target in targets:
        async with target:
            found[target.name] = await _rest(target, seconds, options)
            options.progress(f"{target.name}: a trickle to {viewers} viewers")
            trickle = Traffic.steady(viewers, options.frame_bytes or 2048, options.rate or TRICKLE)
            report.samples.append(await target.measure(trickle, TRICKLE_S))
    relay = found["relay"]
    report.extra |= {"viewers": viewers, **{f"{name}_idle": values for name, values in found.items()}}
    report.goals += [
        Goal("KB per connection", 30.0, relay["bytes_per_connection"] / 1024),
        Goal("percent of a core", 3.0, relay["cpu_percent"]),
    ]
    if relay["closed"]:
        report.notes.append(f"{relay['closed']:.0f} viewers were closed")
    return report


async def _rest(target: Target, seconds: float, options: Options) -> dict[str, float]:
    """Connect everybody, wait until it is quiet, and look."""
    options.progress(f"{target.name}: connecting {target.conversations} viewers")
    endpoints, [pid] = target.endpoints(), target.pids["server"]
    await target.connect(endpoints[:WARM_VIEWERS])
    empty_bytes = memory_bytes(pid)
    start, used = time.monotonic(), Meter(target.pids)
    await target.connect(endpoints[WARM_VIEWERS:])
    connecting_s = time.monotonic() - start
    connect_us = used.read(connecting_s).cpu_s["server"] / (len(endpoints) - WARM_VIEWERS) * 1e6
    await asyncio.sleep(SETTLE_S)
    options.progress(f"{target.name}: {len(endpoints)} viewers, {seconds:.0f} s of silence")
    await target.load.ask("begin")
    meter, start = Meter(target.pids), time.monotonic()
    await asyncio.sleep(seconds)
    usage = meter.read(time.monotonic() - start)
    return {
        "bytes_per_connection": round((memory_bytes(pid) - empty_bytes) / (len(endpoints) - WARM_VIEWERS)),
        "cpu_percent": round(usage.cpu_s["server"] / seconds * 100, 2),
        "redis_cpu_percent": round(usage.cpu_s.get("redis", 0.0) / seconds * 100, 2),
        "connect_us": round(connect_us),
        "closed": (await target.load.ask("end"))["closed"],
    }
