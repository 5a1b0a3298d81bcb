"""Pictures of the dashboards, from what a Prometheus answered to their queries: no Grafana is needed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from scripts.dashboards.board import Kind, Unit
from scripts.dashboards.saved import SavedBoard, SavedPanel

_COLUMNS = 24
_WIDTH_IN = 13.0
_LINE_IN = 0.3
"""Height of a line of the grid."""
_HEAD_IN = 0.75
_DPI = 100
_NAMED = 6
"""So many series have a legend: the largest."""
_COLOURS = (
    "#0b6bcb", "#c4431c", "#3d8b40", "#7a4fb5", "#c99a06", "#0e8f8f", "#b0347a", "#5b6b7a", "#8a5a2b",
)  # fmt: skip
_GREY = "#666666"
_BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


class Line(NamedTuple):
    """A series: its legend, and its values by time, which are NaN where it has none."""

    legend: str
    points: Sequence[tuple[float, float]]

    @property
    def values(self) -> list[float]:
        """Its values that are numbers."""
        return [value for _, value in self.points if math.isfinite(value)]


class Answer(NamedTuple):
    """What a panel shows: its series, and its exemplars by time."""

    lines: Sequence[Line] = ()
    exemplars: Sequence[tuple[float, float]] = ()


class Span(NamedTuple):
    """The time that a dashboard shows, in seconds since the epoch, and moments in it by what happened."""

    start: float
    end: float
    marks: Mapping[str, float]


def draw(path: Path, board: SavedBoard, answers: Mapping[str, Answer], span: Span) -> None:
    """Write a PNG.

    Args:
        path: Where to; its folder is made.
        board: The dashboard.
        answers: By title of its panel.
        span: Its time axis.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = max(panel.y + panel.height for panel in board.panels)
    height_in = count * _LINE_IN + _HEAD_IN
    with rc_context({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        grid = GridSpec(
            count, _COLUMNS, figure,
            left=0.01, right=0.99, top=1 - _HEAD_IN / height_in, bottom=0.0, wspace=0, hspace=0,
        )  # fmt: skip
        _head(figure, board, span, height_in)
        for row in board.rows:
            axes = figure.add_subplot(grid[row.y, :])
            axes.set_axis_off()
            axes.text(0.01, 0.3, row.title, fontsize=10, weight="bold", transform=axes.transAxes)
        for panel in board.panels:
            answer = answers.get(panel.title, Answer())
            if any(line.values for line in answer.lines):
                _PANELS[Kind(panel.kind)](figure, grid, panel, answer, span)
            else:
                _nothing(figure, grid, panel)
        figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


def formatted(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == Unit.RATIO:
        return f"{value * 100:.4g} %"
    if unit == Unit.SECONDS:
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    if unit in (Unit.BYTES, Unit.BYTES_PER_S):
        size, name = next(((size, name) for size, name in _BINARY if abs(value) >= size), (1, "B"))
        return f"{value / size:.3g} {name}" + ("/s" if unit == Unit.BYTES_PER_S else "")
    return f"{value:.3g}" + ("/s" if unit == Unit.PER_S else "")


def _head(figure: Figure, board: SavedBoard, span: Span, height_in: float) -> None:
    marks = sorted(span.marks.items(), key=lambda mark: mark[1])
    happened = "; ".join(f"{at - span.start:.0f} s: {what}" for what, at in marks)
    figure.text(0.01, 1 - 0.25 / height_in, board.title, fontsize=14, weight="bold", va="center")
    figure.text(
        0.01, 1 - 0.55 / height_in, f"{board.description} Dashed lines: {happened}.",
        fontsize=8, va="center", color=_GREY,
    )  # fmt: skip


def _axes(figure: Figure, grid: GridSpec, panel: SavedPanel, *, margin: int, below: int) -> Axes:
    """Axes in the middle of a panel's cells; its title is in the first line."""
    top, bottom = panel.y + 1, panel.y + panel.height - below
    axes = figure.add_subplot(grid[top:bottom, panel.x + margin : panel.x + panel.width])
    axes.set_title(panel.title, fontsize=8, weight="bold", loc="left", pad=4)
    return axes


def _nothing(figure: Figure, grid: GridSpec, panel: SavedPanel) -> None:
    axes = _axes(figure, grid, panel, margin=1, below=2)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, "no data", ha="center", va="center", color=_GREY, transform=axes.transAxes)


def _graph(figure: Figure, grid: GridSpec, panel: SavedPanel, answer: Answer, span: Span) -> None:
    axes = _axes(figure, grid, panel, margin=1, below=2)
    lines = sorted((line for line in answer.lines if line.values), key=lambda line: -max(line.values))
    floor = [0.0] * round(span.end - span.start + 1)
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        label = (line.legend or "all") if number < _NAMED else "_unnamed"
        times = [at - span.start for at, _ in line.points]
        values = [value for _, value in line.points]
        if panel.stacked:
            at = [min(round(time), len(floor) - 1) for time in times]
            base = [floor[index] for index in at]
            values = [
                low + (value if math.isfinite(value) else 0) for low, value in zip(base, values, strict=True)
            ]
            axes.fill_between(times, base, values, color=colour, alpha=0.25, linewidth=0)
            for index, value in zip(at, values, strict=True):
                floor[index] = value
        axes.plot(times, values, label=label, color=colour, linewidth=1.2, clip_on=False)
    if answer.exemplars:
        axes.plot(
            [at - span.start for at, _ in answer.exemplars], [value for _, value in answer.exemplars],
            "D", markersize=2.5, color="#222222", alpha=0.5, label="exemplars",
        )  # fmt: skip
    for moment in span.marks.values():
        axes.axvline(moment - span.start, color=_GREY, linewidth=0.7, linestyle="--")
    axes.set_xlim(0, span.end - span.start)
    axes.xaxis.set_major_formatter("{x:.0f} s")
    axes.yaxis.set_major_locator(_ticks(panel.unit, max(max(line.values) for line in lines)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, panel.unit)))
    axes.grid(alpha=0.25)
    if min(min(line.values) for line in lines) >= 0:
        axes.set_ylim(0, axes.get_ylim()[1] or 1)
    if not any(any(line.values) for line in lines):
        axes.set_ylim(0, 1)
    _legend(axes, len(lines) - _NAMED)


def _ticks(unit: str, largest: float) -> MaxNLocator | MultipleLocator:
    """Ticks at round values, which are powers of two for bytes."""
    if unit in (Unit.BYTES, Unit.BYTES_PER_S) and largest > 0:
        return MultipleLocator(2.0 ** math.ceil(math.log2(largest / 4)))
    return MaxNLocator(4)


def _legend(axes: Axes, more: int) -> None:
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=3, fontsize=6, frameon=False, handlelength=1.2,
        columnspacing=1.0, borderaxespad=0.2, alignment="left",
        title=f"and {more} more" if more > 0 else None, title_fontsize=6,
    )  # fmt: skip


def _stat(figure: Figure, grid: GridSpec, panel: SavedPanel, answer: Answer, _span: Span) -> None:
    axes = _axes(figure, grid, panel, margin=1, below=1)
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    lines = [line for line in answer.lines if line.values]
    size = 17 if len(lines) < 3 else 8
    for number, line in enumerate(lines):
        middle = 1 - (number + 0.5) / len(lines) if size < 17 else 0.5
        left = 0 if size < 17 else number / len(lines)
        axes.text(
            left, middle, formatted(line.values[-1], panel.unit), fontsize=size, va="center", color="#0b6bcb"
        )
        axes.text(
            left + (0.12 if size < 17 else 0), middle if size < 17 else 0.02, line.legend,
            fontsize=7, va="center", color=_GREY,
        )  # fmt: skip


def _bars(figure: Figure, grid: GridSpec, panel: SavedPanel, answer: Answer, _span: Span) -> None:
    axes = _axes(figure, grid, panel, margin=5, below=1)
    lines = [line for line in answer.lines if line.values][::-1]
    values = [line.values[-1] for line in lines]
    axes.barh([line.legend for line in lines], values, color=_COLOURS[0], alpha=0.8)
    for number, value in enumerate(values):
        axes.text(value, number, f" {formatted(value, panel.unit)}", va="center")
    axes.set_xticks([])
    axes.margins(x=0.15)


_PANELS = {Kind.GRAPH: _graph, Kind.STAT: _stat, Kind.BARS: _bars}
