"""Screen: a view as tables for a terminal."""

import re
from collections.abc import Mapping
from io import StringIO

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from relay_cli.top.problems import CPU, LOOP_LAG_S, Problem
from relay_cli.top.view import Conversations, Jobs, Lag, Motion, Process, View, Viewers

ABSENT = "-"
"""What no process exports."""
_SEVERITIES = {"critical": "bold red", "warning": "yellow"}
_STATES = {"away": "bold red", "not ready": "bold red", "draining": "yellow", "ready": "green"}
_KIB = 1024
_PICTURE_COLUMNS = 120
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def screen(view: View, problems: list[Problem], *, clock: str) -> RenderableType:
    """Draw a view.

    Args:
        view: What to draw.
        problems: Drawn first.
        clock: The wall time, as text.
    """
    over = f"over the last {view.interval_s:.0f} s" if view.interval_s else "rates follow"
    title = Text.assemble(("avatar-relay top", "bold"), f"  {clock}  {over}")
    blocks = [_conversations(view.conversations), _motion(view.motion), _viewers(view.viewers)]
    if view.jobs is not None:
        blocks.append(_jobs(view.jobs))
    return Group(
        title, *map(_problem, problems), Columns(blocks), _lags(view.lags), _processes(view.processes)
    )


def picture(drawn: RenderableType) -> str:
    """A drawn view as SVG, in the fonts of whoever looks at it: it loads none."""
    console = Console(record=True, width=_PICTURE_COLUMNS, file=StringIO())
    console.print(drawn)
    return _FONT_FACE.sub("", console.export_svg(title="avatar-relay top"))


def _problem(problem: Problem) -> Text:
    return Text.assemble((f"{problem.severity:<8}", _SEVERITIES[problem.severity]), " ", problem.text)


def _conversations(found: Conversations) -> Table:
    unowned = count(found.unowned)
    if found.unowned:
        unowned = f"[bold red]{unowned}, {seconds(found.unowned_s)}[/]"
    return _facts("conversations", {
        "owned": count(found.owned),
        "with recent speech": count(found.active),
        "without an owner": unowned,
        "speech s per s": ABSENT if found.speech_s_per_s is None else f"{found.speech_s_per_s:.2f}",
        "turns ended": _counts(found.turns),
    })  # fmt: skip


def _motion(found: Motion) -> Table:
    return _facts("Motion sessions", {
        "open": count(found.sessions),
        "opened per minute": ABSENT if found.opened_per_minute is None else f"{found.opened_per_minute:.1f}",
        "failures": _alarming(_counts(found.failures)) if found.failures else "0",
        "connected minutes": ABSENT if found.connected_minutes is None else f"{found.connected_minutes:.1f}",
        "credits": count(found.credits),
    })  # fmt: skip


def _viewers(found: Viewers) -> Table:
    protocols = f" ({_counts(found.protocols)})" if found.protocols else ""
    return _facts("viewers", {
        "open": f"{count(found.open)}{protocols}",
        "behind": _fault(found.catching_up),
        "closed as slow": _fault(found.closed_slow),
        "gaps": _fault(found.gaps),
        "unsent": size(found.unsent_bytes),
        "uplink dropped": _counts(found.uplink_dropped),
    })  # fmt: skip


def _jobs(found: Jobs) -> Table:
    return _facts("jobs", {
        "events waiting": count(found.waiting),
        "oldest": seconds(found.oldest_s),
        "discarded": _fault(found.discarded),
        "tasks ended": _counts(found.tasks),
        "recordings overdue": seconds(found.recordings_overdue_s),
    })  # fmt: skip


def _lags(lags: list[Lag]) -> Table:
    table = _table("lag", "p50", "p99", "worst now")
    for lag in lags:
        table.add_row(lag.name, seconds(lag.p50_s), seconds(lag.p99_s), seconds(lag.worst_s))
    return table


def _processes(processes: list[Process]) -> Table:
    table = _table("service", "address", "state", "load", "CPU", "RSS", "loop lag", "version")
    for process in processes:
        style = _STATES[process.state]
        cpu = ABSENT if process.cpu is None else f"{process.cpu:.0%}"
        lag = seconds(process.loop_lag_s)
        table.add_row(
            process.service or ABSENT,
            escape(process.target),
            f"[{style}]{process.state}[/]" + (f" {escape(process.why)}" if process.why else ""),
            count(process.work),
            _alarming(cpu) if (process.cpu or 0.0) > CPU else cpu,
            size(process.rss_bytes),
            _alarming(lag) if (process.loop_lag_s or 0.0) > LOOP_LAG_S else lag,
            process.version or ABSENT,
        )
    return table


def _facts(title: str, facts: Mapping[str, str]) -> Table:
    table = _table(title, "")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold cyan", pad_edge=False, padding=(0, 2, 0, 0))


def _alarming(text: str) -> str:
    return f"[bold red]{text}[/]"


def _fault(number: float | None) -> str:
    """A count that is to be 0."""
    return _alarming(count(number)) if number else count(number)


def _counts(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{escape(name)} {number:.0f}" for name, number in counts.items()) or ABSENT


def count(number: float | None) -> str:
    """A whole number."""
    return ABSENT if number is None else f"{number:,.0f}"


def seconds(value_s: float | None) -> str:
    """A duration; below a second in milliseconds."""
    if value_s is None:
        return ABSENT
    return f"{value_s * 1000:.1f} ms" if abs(value_s) < 1 else f"{value_s:.2f} s"


def size(size_bytes: float | None) -> str:
    """A size."""
    if size_bytes is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.1f} GiB"
