"""Plots: CPU against load, with the straight lines through it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from tests.benchmarks.line import Line

_SIZE_IN = (8, 4.5)
_COLOURS = ("#0b6bcb", "#c4431c", "#3d8b40", "#7a4fb5")
_STYLE = {
    "svg.fonttype": "none",  # texts stay texts: small, searchable
    "svg.hashsalt": "avatar-relay",  # the same points, the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(path: Path, title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Write an SVG.

    Args:
        path: Where to; its folder is made.
        title: Over it.
        series: Points of frames/s and cores, by process; two rates or more of each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots()
        for (name, points), colour in zip(series.items(), _COLOURS, strict=False):
            line = Line.through(points)
            ends = [0.0, max(rate for rate, _ in points)]
            axes.plot(ends, [line.cores(rate) for rate in ends], color=colour, label=_legend(name, line))
            rates, cores = zip(*points, strict=True)
            axes.plot(rates, cores, "o", color=colour, markersize=5)
        axes.set(title=title, xlabel="frames per second", ylabel="cores")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _legend(name: str, line: Line) -> str:
    return f"{name}: {line.fixed_cores:.3f} cores + {line.us_per_frame:.1f} µs a frame (R² {line.r2:.3f})"
