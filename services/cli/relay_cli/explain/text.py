"""Text: a timeline as tables."""

import time

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from relay_cli.explain.hops import Hop
from relay_cli.explain.steps import Step
from relay_cli.explain.timeline import Timeline

_BOLD_RED = "bold red"


def text(found: Timeline) -> RenderableType:
    """Draw a timeline."""
    return Group(
        _facts(found), "", _steps(found.steps), "", _hops(found), "", Text(found.verdict, style="bold")
    )


def show(found: Timeline, console: Console) -> None:
    """Print a timeline."""
    console.print(text(found), soft_wrap=True)


def _facts(found: Timeline) -> Table:
    lead = "-" if found.motion_lead_min_s is None else f"{found.motion_lead_min_s:+.3f} s"
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.origin_ms / 1000))
    table = _table("", "")
    for name, value in {
        "conversation": found.conversation,
        "turn": f"{found.turn}, {found.state}",
        "began": f"{at}.{found.origin_ms % 1000:03d}Z",
        "owner": found.owner or "-",
        "frames": f"{found.frames}, {found.first_position} to {found.last_position}",
        "audio": f"{found.audio_s:.3f} s, {found.audio_bytes} bytes",
        "motion": f"{found.motion_bytes} bytes, smallest lead {lead}",
        "traceparent": found.traceparent or "- (not sampled)",
        "trace id": found.trace_id or "-",
        "uplink": found.waiting or "nothing waits",
    }.items():
        table.add_row(name, escape(value))
    table.show_header = False
    return table


def _steps(steps: list[Step]) -> Table:
    table = _table("at", "position", "step", "detail")
    table.columns[0].justify = "right"
    for step in steps:
        style = _BOLD_RED if step.is_fault else ""
        position = str(step.position) if step.position.seq else ""
        table.add_row(f"{step.at_s:.3f} s", position, step.what, escape(step.detail), style=style)
    return table


def _hops(found: Timeline) -> Table:
    table = _table("hop", "took", "usual up to", "")
    for hop in found.hops:
        table.add_row(
            hop.name, f"{hop.seconds:.3f} s", f"{hop.usual_s:g} s", _mark(hop, found), style=_style(hop)
        )
    return table


def _mark(hop: Hop, found: Timeline) -> str:
    return "slowest" if hop.name == found.slowest else ""


def _style(hop: Hop) -> str:
    return _BOLD_RED if hop.is_slow else ""


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold cyan", pad_edge=False, padding=(0, 2, 0, 0))
