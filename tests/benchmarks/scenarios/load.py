"""Load: what each process takes of a core as the rate rises, and the straight line through it."""

from statistics import mean

from tests.benchmarks.line import Line
from tests.benchmarks.relay import Relay
from tests.benchmarks.report import Report
from tests.benchmarks.scenario import Options, scenario
from tests.benchmarks.target import Sample
from tests.benchmarks.traffic import Traffic

CONVERSATIONS = 500
FRAME_BYTES = 2048
RATES = (500.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0)
QUICK_RATES = (500.0, 2000.0, 4000.0, 6000.0)
ROLES = {"gateway": "server", "redis": "redis", "publisher": "publisher"}
"""Whose CPU is drawn, and what targets call them."""


@scenario("load", "CPU of gateway, Redis and publisher at rising rates, and the line through it", peers=False)
async def load(options: Options) -> Report:
    """500 conversations, one viewer each; ``--rate`` is the highest rate instead of 6,000."""
    conversations, size_bytes = options.conversations or CONVERSATIONS, options.frame_bytes or FRAME_BYTES
    samples = await _climb(conversations, size_bytes, options)
    carried = [sample for sample in samples if sample.kept_up]
    report = Report("load")
    report.notes += [
        f"{sample.rate:.0f} of {sample.offered:.0f} frames/s were delivered: left out"
        for sample in samples
        if not sample.kept_up
    ]
    rates = {sample.offered for sample in carried}
    if len(rates) < 2:
        report.notes.append("Fewer than two rates were carried: there is no line through one point.")
        return report
    report.samples += [sample for sample in carried if sample.offered == max(rates)]
    series = {name: [_point(sample, role) for sample in carried] for name, role in ROLES.items()}
    for name, points in series.items():
        line = Line.through(points)
        report.extra[f"{name}_cores"] = _by_rate(carried, ROLES[name])
        report.extra[f"{name}_line"] = {
            "fixed_cores": round(line.fixed_cores, 4),
            "us_per_frame": round(line.us_per_frame, 1),
            "r2": round(line.r2, 4),
        }
    if options.plot:
        from tests.benchmarks.plot import draw

        draw(options.plot, f"{conversations} conversations, frames of {size_bytes:,} bytes", series)
        options.progress(f"wrote {options.plot}")
    return report


async def _climb(conversations: int, size_bytes: int, options: Options) -> list[Sample]:
    """Measure at each rate; up and, unless it is to be quick, down again, so that slow drift cancels out."""
    seconds = options.seconds or (2.0 if options.quick else 5.0)
    rates = QUICK_RATES if options.quick else (*RATES, *reversed(RATES))
    stretch = (options.rate or max(rates)) / max(rates)
    samples = []
    async with Relay(conversations) as relay:
        options.progress(f"connecting {conversations} viewers")
        await relay.connect()
        for rate in rates:
            options.progress(f"{rate * stretch:.0f} frames/s")
            traffic = Traffic.steady(conversations, size_bytes, rate * stretch)
            samples.append(await relay.measure(traffic, seconds))
    return samples


def _by_rate(samples: list[Sample], role: str) -> dict[str, float]:
    """Cores in use, the mean of each rate's windows."""
    found: dict[float, list[float]] = {}
    for sample in samples:
        found.setdefault(sample.offered, []).append(_point(sample, role)[1])
    return {f"{rate:.0f}/s": round(mean(cores), 4) for rate, cores in sorted(found.items())}


def _point(sample: Sample, role: str) -> tuple[float, float]:
    """Frames delivered a second, and cores in use."""
    return sample.rate, sample.usage.cpu_s[role] / sample.seconds
