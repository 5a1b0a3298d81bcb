"""Delivery: the same frames through the relay, the floor and a peer, in turns, in one run."""

import time
from contextlib import AsyncExitStack

from tests.benchmarks import flame
from tests.benchmarks.cpu import Meter
from tests.benchmarks.floor import Floor
from tests.benchmarks.peers import PEERS
from tests.benchmarks.relay import AvatarKitRelay, Relay
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.target import Sample, Target
from tests.benchmarks.traffic import Clip, Traffic

from relay_streams.turn_input import CHUNKS_AT_ONCE

P99_LIMIT_MS = 50.0
"""A rate counts as carried while p99 stays below."""
FIRST_RATE = 1500.0
AVATARKIT_RATE = 2000.0
GROWTH = 1.4
MOST_STEPS = 10

SPEECH_S = 20.0
"""A reply, as long as it speaks."""
ARRIVAL_S = 2.5
"""As long as the vendor takes to make it (facts section 3)."""
AUDIO = (213, 3 * 1024)
"""Chunks of a reply and their size: 640 KB of PCM at 16 kHz."""
MOTION = (10, 40 * 1024)
FLOOD_ROUNDS = 10


@scenario("steady", "1:1 at a steady rate: 500 conversations, one viewer each, 2 KB frames")
async def steady(options: Options) -> Report:
    """The highest rate, then cost at half of it."""
    conversations, size_bytes = options.conversations or 500, options.frame_bytes or 2048
    async with AsyncExitStack() as stack:
        targets = await _enter(stack, options, conversations, options.viewers or 1)
        relay = targets[0]
        report = Report("steady", peer=options.peer)
        rate = options.rate
        if rate is None:
            highest, steps = await highest_rate(relay, conversations, size_bytes, options)
            rate = highest / 2
            report.extra |= {"highest_rate": round(highest), "cost_by_rate_us": steps}
        traffic = Traffic.steady(conversations, size_bytes, rate)
        await _take_turns(report, targets, traffic, options)
        if options.profile:
            options.progress(f"recording {options.profile}")
            await flame.record(relay, traffic, options.profile)
    latency = report.latency_ms("relay")
    report.extra["rate"] = round(rate)
    report.goals += [
        Goal("ratio to floor", 2.0, report.ratio("floor")),
        Goal("latency p50 ms", 2.0, latency.get("p50")),
        Goal("latency p99 ms", 10.0, latency.get("p99")),
    ]
    if options.peer:
        limits = {"socketio": 0.35, "centrifugo": 1.0}
        if options.peer in limits:
            report.goals.append(
                Goal(f"ratio to {options.peer}", limits[options.peer], report.ratio(options.peer))
            )
    return report


@scenario(
    "avatarkit", "the same as steady over /ws/agent, the vendor's clients' protocol, beside the native one"
)
async def avatarkit(options: Options) -> Report:
    """Both on the same traffic; it must cost at most twice as much."""
    conversations, size_bytes = options.conversations or 500, options.frame_bytes or 2048
    async with AsyncExitStack() as stack:
        targets = await _enter(stack, options, conversations, options.viewers or 1)
        targets.append(AvatarKitRelay(conversations, options.viewers or 1))
        await stack.enter_async_context(targets[-1])
        await targets[-1].connect()
        report = Report("avatarkit", peer=options.peer)
        await _take_turns(
            report,
            targets,
            Traffic.steady(conversations, size_bytes, options.rate or AVATARKIT_RATE),
            options,
        )
    cost, native = report.us("relay-avatarkit"), report.us("relay")
    report.extra |= {
        "avatarkit_us": cost and round(cost, 1),
        "avatarkit_latency_ms": report.latency_ms("relay-avatarkit"),
    }
    report.goals.append(Goal("cost over native", 2.0, cost / native if cost and native else None))
    return report


@scenario("burst", "200 conversations each get a reply of 20 s within 2.5 s, again and again")
async def burst(options: Options) -> Report:
    """A fifth of the time each conversation is flooded: who is slow must not be closed for it."""
    conversations = options.conversations or 200
    clips = tuple(
        Clip(number / count * ARRIVAL_S, size_bytes)
        for count, size_bytes in (AUDIO, MOTION)
        for number in range(count)
    )
    async with AsyncExitStack() as stack:
        targets = await _enter(stack, options, conversations, 1)
        report = Report("burst", peer=options.peer)
        await _take_turns(report, targets, Traffic(conversations, SPEECH_S, clips), options)
        options.progress("publishing as fast as Redis takes it")
        publishing_us = await _publishing_us(targets[0], conversations)
    report.extra["publishing_us"] = round(publishing_us, 1)
    report.goals += [
        Goal("latency p99 ms", P99_LIMIT_MS, report.latency_ms("relay").get("p99")),
        Goal("closed as slow", 0, sum(sample.closed for sample in report.of("relay"))),
        Goal("publishing us per frame", 25.0, publishing_us),
    ]
    return report


async def _publishing_us(relay: Target, conversations: int) -> float:
    """CPU of publishing a frame when an owner has as many at once as one request brings."""
    assert isinstance(relay, Relay)
    meter, start = Meter({"publisher": relay.pids["publisher"]}), time.monotonic()
    for _ in range(FLOOD_ROUNDS):
        await relay.publisher.ask("turns", frames=CHUNKS_AT_ONCE, frame_bytes=AUDIO[1])
    used_s = meter.read(time.monotonic() - start).cpu_s["publisher"]
    return used_s / (FLOOD_ROUNDS * CHUNKS_AT_ONCE * conversations) * 1e6


@scenario("fanout", "one conversation to 2,000 viewers")
async def fanout(options: Options) -> Report:
    """One stream, many sockets."""
    async with AsyncExitStack() as stack:
        targets = await _enter(stack, options, options.conversations or 1, options.viewers or 2000)
        report = Report("fanout", peer=options.peer)
        traffic = Traffic.steady(options.conversations or 1, options.frame_bytes or 2048, options.rate or 5.0)
        await _take_turns(report, targets, traffic, options)
    report.goals += [
        Goal("ratio to floor", 1.3, report.ratio("floor")),
        Goal("last viewer p99 ms", 100.0, report.last_viewer_ms("relay").get("p99")),
    ]
    return report


async def highest_rate(
    target: Target, conversations: int, size_bytes: int, options: Options
) -> tuple[float, dict[str, float]]:
    """Raise the rate until p99 is too high or frames are late; a failed step gets a second chance.

    Returns:
        The highest rate carried, and CPU per frame by rate.
    """
    rate, highest, steps = FIRST_RATE, FIRST_RATE, {}
    for _ in range(MOST_STEPS):
        traffic = Traffic.steady(conversations, size_bytes, rate)
        for _ in range(2):
            options.progress(f"{target.name}: {rate:.0f} frames/s")
            sample = await target.measure(traffic, 1.0 if options.quick else 3.0)
            if _carried(sample):
                break
        else:
            break
        highest = rate
        steps[f"{rate:.0f}"] = round(sample.us_per_frame(), 1)
        rate *= GROWTH
    return highest, steps


def _carried(sample: Sample) -> bool:
    return sample.kept_up and sample.latency_ms["p99"] <= P99_LIMIT_MS


async def _enter(stack: AsyncExitStack, options: Options, conversations: int, viewers: int) -> list[Target]:
    """The relay, the floor and the peer, connected."""
    targets: list[Target] = [Relay(conversations, viewers), Floor(conversations, viewers)]
    if options.peer:
        targets.append(PEERS[options.peer](conversations, viewers))
    for target in targets:
        options.progress(f"starting {target.name}, connecting {conversations * viewers} viewers")
        await stack.enter_async_context(target)
        await target.connect()
    return targets


async def _take_turns(report: Report, targets: list[Target], traffic: Traffic, options: Options) -> None:
    """Measure all on the same traffic, in short turns: what disturbs the machine disturbs all alike."""
    rounds = 2 if options.quick else 4
    seconds = options.seconds or (3.0 if options.quick else 8.0)
    for turn in range(rounds):
        for target in targets:
            options.progress(
                f"round {turn + 1} of {rounds}: {target.name} at {traffic.rate * target.viewers:.0f} frames/s"
            )
            report.samples.append(await target.measure(traffic, seconds))
    for sample in report.samples:
        if not sample.kept_up:
            report.notes.append(
                f"{sample.target} did not keep up: {sample.rate:.0f} of {sample.offered:.0f} frames/s,"
                f" {sample.faults} faults, {sample.closed} closed, up to {sample.late_ms:.0f} ms behind"
            )
