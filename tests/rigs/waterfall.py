"""Waterfalls: a trace drawn as its spans over time, from what a backend answered."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.rigs.otlp import Span

from relay_telemetry import semconv

_WIDTH_IN = 11.0
_ROW_IN = 0.5
_HEAD_IN = 0.7
_FOOT_IN = 0.9
_LABEL_IN = 2.6
_BAR = 0.36
_STYLE = {
    "font.size": 8.5,
    "svg.fonttype": "path",  # the same on every machine
    "svg.hashsalt": "avatar-relay",  # the same trace, the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
_COLOURS = {"control": "#7a4fb5", "ingest": "#0b6bcb", "gateway": "#3d8b40", "simulator": "#5b6b7a"}
_FAILED, _GREY, _LINK = "#c4431c", "#666666", "#c99a06"
_MARKERS = {
    semconv.SESSION_OPENED: "D", semconv.FIRST_MOTION: "*", semconv.FAILED: "X",
    semconv.FIRST_WRITE: "o", semconv.FIRST_MOTION_WRITE: "^", semconv.LAST_WRITE: "s",
}  # fmt: skip


class Row(NamedTuple):
    """A line of the picture."""

    hop: str
    """The service, with a number where the trace has several processes of it."""
    depth: int
    """How many ancestors it has in the trace."""
    span: Span
    is_orphan: bool
    """Whether it has a parent within the relay that is not in the trace."""


def rows_of(spans: Sequence[Span], callers: Sequence[str] = ()) -> list[Row]:
    """The spans of a trace below their parents, siblings by their start.

    Args:
        spans: All of one trace.
        callers: Ids of spans of the caller, which exports its own.
    """
    known = {span.span_id for span in spans}
    hops = _hops(spans)

    def below(parent_id: str, depth: int) -> Iterator[Row]:
        for span in sorted(spans, key=_order):
            if span.parent_id == parent_id:
                yield Row(hops[span.service, span.instance], depth, span, is_orphan=False)
                yield from below(span.span_id, depth + 1)

    rows: list[Row] = []
    for span in sorted(spans, key=_order):
        if span.parent_id not in known:
            orphan = bool(span.parent_id) and span.parent_id not in callers
            rows.append(Row(hops[span.service, span.instance], 0, span, orphan))
            rows += below(span.span_id, 1)
    return rows


def draw(
    path: Path,
    title: str,
    spans: Sequence[Span],
    *,
    callers: Sequence[str] = (),
    marks: Mapping[str, int] | None = None,
) -> None:
    """Write an SVG.

    Args:
        path: Where to; its folder is made.
        title: Over it.
        spans: All of one trace.
        callers: Ids of spans of the caller.
        marks: Wall times in ns of what was done to the relay, by its description.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = rows_of(spans, callers)
    start_ns = min(span.start_ns for span in spans)
    end_ms = (max(span.end_ns for span in spans) - start_ns) / 1e6
    height_in = len(rows) * _ROW_IN + _HEAD_IN + _FOOT_IN
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        axes = figure.add_axes((
            _LABEL_IN / _WIDTH_IN,
            _FOOT_IN / height_in,
            1 - (_LABEL_IN + 0.25) / _WIDTH_IN,
            1 - (_HEAD_IN + _FOOT_IN) / height_in,
        ))  # fmt: skip
        figure.text(0.012, 1 - 0.28 / height_in, title, fontsize=11, weight="bold")
        figure.text(
            0.012, 1 - 0.5 / height_in, f"trace {spans[0].trace_id}; times in ms since its first span",
            color=_GREY,
        )  # fmt: skip
        axes.set_xlim(-0.005 * end_ms, 1.11 * end_ms)
        axes.set_ylim(len(rows) - 0.4, -0.5)
        axes.set_yticks([])
        axes.set_xlabel("ms")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="x", alpha=0.25)
        for at, row in enumerate(rows):
            _draw_row(axes, at, row, start_ns, end_ms)
        _draw_links(axes, rows, start_ns)
        for text, moment in (marks or {}).items():
            at_ms = (moment - start_ns) / 1e6
            axes.axvline(at_ms, color=_FAILED, linewidth=1, linestyle="--", zorder=0)
            axes.text(at_ms, -0.52, f" {text}", color=_FAILED, va="bottom", ha="left", fontsize=8)
        _draw_legend(axes, rows, height_in)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _hops(spans: Sequence[Span]) -> dict[tuple[str, str], str]:
    """The name of each process, in the order in which they come."""
    processes: dict[str, list[str]] = {}
    for span in sorted(spans, key=_order):
        instances = processes.setdefault(span.service, [])
        if span.instance not in instances:
            instances.append(span.instance)
    return {
        (service, instance): _short(service) + (f" {number}" if len(instances) > 1 else "")
        for service, instances in processes.items()
        for number, instance in enumerate(instances, 1)
    }


def _order(span: Span) -> tuple[int, str]:
    return span.start_ns, span.name


def _short(service: str) -> str:
    return service.removeprefix("avatar-relay-")


def _draw_row(axes: Axes, at: int, row: Row, start_ns: int, end_ms: float) -> None:
    span = row.span
    begin_ms, length_ms = (span.start_ns - start_ns) / 1e6, (span.end_ns - span.start_ns) / 1e6
    colour = _COLOURS.get(_short(span.service), _GREY)
    axes.barh(
        at, max(length_ms, 0.002 * end_ms), left=begin_ms, height=_BAR, color=colour, alpha=0.75,
        edgecolor=_FAILED if span.error else colour, linewidth=1.5 if span.error else 0.5,
    )  # fmt: skip
    x = -_LABEL_IN / (_WIDTH_IN - _LABEL_IN - 0.25) + 0.016
    label = axes.get_yaxis_transform()
    axes.text(x + 0.022 * row.depth, at, span.name, transform=label, va="center", weight="bold")
    axes.text(-0.01, at, row.hop, transform=label, va="center", ha="right", color=colour)
    note = f"{length_ms:,.1f}" + (f"  {span.error}" if span.error else "")
    axes.text(
        begin_ms + max(length_ms, 0.002 * end_ms) + 0.012 * end_ms, at, note,
        va="center", color=_FAILED if span.error else "black", fontsize=8,
    )  # fmt: skip
    events = sorted(span.events, key=lambda one: one.at_ns)
    for event in events:
        axes.plot(
            (event.at_ns - start_ns) / 1e6, at, _MARKERS[event.name], color="white",
            markeredgecolor="black", markersize=5.5, zorder=3, clip_on=False,
        )  # fmt: skip
    caption = [f"at {begin_ms:,.1f}"]
    caption += [f"{event.name} {(event.at_ns - start_ns) / 1e6:,.1f}" for event in events]
    if row.is_orphan:
        caption.append("its parent was lost with its process")
    is_late = begin_ms > 0.55 * end_ms
    axes.text(
        begin_ms - 0.008 * end_ms if is_late else begin_ms, at if is_late else at + 0.36, ", ".join(caption),
        va="center", ha="right" if is_late else "left", color=_GREY, fontsize=7,
    )  # fmt: skip


def _draw_links(axes: Axes, rows: Sequence[Row], start_ns: int) -> None:
    """From where a linked span begins to the span that has the link."""
    places = {row.span.span_id: at for at, row in enumerate(rows)}
    for at, row in enumerate(rows):
        for link in row.span.links:
            linked = places.get(link.span_id)
            if linked is None:
                continue
            moment = (rows[linked].span.start_ns - start_ns) / 1e6
            to = min(max(moment, (row.span.start_ns - start_ns) / 1e6), (row.span.end_ns - start_ns) / 1e6)
            side = -_BAR / 2 if linked < at else _BAR / 2
            axes.annotate(
                "", xy=(to, at + side), xytext=(moment, linked - side),
                arrowprops={"arrowstyle": "->", "color": _LINK, "linewidth": 1.2, "linestyle": "-"},
            )  # fmt: skip


def _draw_legend(axes: Axes, rows: Sequence[Row], height_in: float) -> None:
    present = {event.name for row in rows for event in row.span.events}
    for name, marker in _MARKERS.items():
        if name in present:
            axes.plot([], [], marker, color="white", markeredgecolor="black", markersize=5.5, label=name)
    if any(row.span.links for row in rows):
        axes.plot([], [], color=_LINK, label="link")
    below = -0.5 / (height_in - _HEAD_IN - _FOOT_IN)
    axes.legend(loc="upper left", bbox_to_anchor=(0, below), ncols=7, frameon=False, borderaxespad=0.0)
