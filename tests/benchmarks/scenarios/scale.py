"""Scale: more gateways and more Redis nodes must not make a frame dearer."""

from tests.benchmarks.floor import Floor
from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.target import Sample
from tests.benchmarks.traffic import Traffic

CONVERSATIONS = 250
"""Of each gateway."""
RATE = 1000.0
"""Of each gateway; what batches form depends on it, so it stays when gateways are added."""
SHAPES = ((1, 1), (2, 1), (1, 2), (2, 2))
"""Gateways and Redis nodes."""


@scenario("scale", "1 and 2 gateways, 1 and 2 Redis nodes, as much work for each gateway", peers=False)
async def scale(options: Options) -> Report:
    """Each shape once, and again in the other direction, so that slow drift cancels out."""
    seconds = options.seconds or (2.5 if options.quick else 8.0)
    conversations, size_bytes = options.conversations or CONVERSATIONS, options.frame_bytes or 2048
    rate = options.rate or RATE
    report = Report("scale")
    found: dict[tuple[int, int], list[Sample]] = {shape: [] for shape in SHAPES}
    for shape in SHAPES if options.quick else (*SHAPES, *reversed(SHAPES)):
        gateways, nodes = shape
        options.progress(f"{gateways} gateways, {nodes} Redis nodes")
        async with Relay(conversations * gateways, gateways=gateways, redis_nodes=nodes) as relay:
            await relay.connect()
            traffic = Traffic.steady(relay.conversations, size_bytes, rate * gateways)
            found[shape].append(await relay.measure(traffic, seconds))
    report.samples += found[1, 1]
    async with Floor(conversations) as floor:
        await floor.connect()
        report.samples.append(await floor.measure(Traffic.steady(conversations, size_bytes, rate), seconds))
    costs = {shape: _cost_us(samples, "server") for shape, samples in found.items()}
    report.extra |= {
        "cost_us": {_name(*shape): round(cost, 1) for shape, cost in costs.items()},
        "redis_cost_us": {
            _name(*shape): round(_cost_us(samples, "redis"), 1) for shape, samples in found.items()
        },
    }
    report.goals.append(Goal("dearest over one gateway, one node", 1.1, max(costs.values()) / costs[1, 1]))
    return report


def _cost_us(samples: list[Sample], role: str) -> float:
    frames = sum(sample.frames for sample in samples)
    return sum(sample.usage.cpu_s[role] for sample in samples) / frames * 1e6


def _name(gateways: int, nodes: int) -> str:
    return f"{gateways} gateway{'s' * (gateways > 1)}, {nodes} node{'s' * (nodes > 1)}"
