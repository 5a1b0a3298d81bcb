"""The report in ``docs/operations/upgrades.md``, between two comments there."""

from collections.abc import Sequence
from pathlib import Path

from tests.kube.load import Verdict
from tests.kube.step import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "upgrades.md"
BEGIN, END = "<!-- kube: begin -->", "<!-- kube: end -->"
COUNTS = ("frames", "lost", "repeated", "reordered", "gaps", "final_closes")
_HEAD = (
    "| step | what was done | seen | frames | lost | repeated | reordered | gaps | final closes"
    " | recovery p50 / p99 | stall p50 / p99 |\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def write(outcomes: Sequence[Outcome], page: Path = PAGE) -> None:
    """Write the table anew; the rest of the page stays.

    Raises:
        ValueError: The page has no place for it.
    """
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n{END}{after}", "utf-8")


def table(outcomes: Sequence[Outcome]) -> str:
    """One row per step, in Markdown."""
    return "\n".join([_HEAD, *map(_row, outcomes)])


def cells(verdict: Verdict | None) -> list[str]:
    """The counts of a step and its times; dashes where no load ran."""
    if verdict is None:
        return ["-"] * (len(COUNTS) + 2)
    times = (times_of(verdict, "recovery_ms"), times_of(verdict, "stall_ms"))
    return [*(f"{verdict.total(what):,}" for what in COUNTS), *times]


def times_of(verdict: Verdict, what: str) -> str:
    """The median and the 99th percentile, or a dash where nothing was measured."""
    p50, p99 = verdict.milliseconds(what, "p50"), verdict.milliseconds(what, "p99")
    return "-" if p50 is None or p99 is None else f"{p50:,.0f} / {p99:,.0f} ms"


def _row(outcome: Outcome) -> str:
    mark = "" if outcome.ok else " **failed**"
    first = [f"`{outcome.step.name}`{mark}", outcome.step.what, outcome.seen or "-"]
    return f"| {' | '.join([*first, *cells(outcome.verdict)])} |"
