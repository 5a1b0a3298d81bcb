"""The table of ``docs/design/guarantees.md``, between two comments there."""

from collections.abc import Sequence
from pathlib import Path

from tests.faults.scenario import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "design" / "guarantees.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def write(outcomes: Sequence[Outcome], page: Path = PAGE) -> None:
    """Write the table anew; the rest of the page stays."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n{END}{after}", "utf-8")


def table(outcomes: Sequence[Outcome]) -> str:
    """One row per fault, in Markdown."""
    head = (
        "| fault | what holds | topology | frames checked | lost | duplicated | reordered"
        " | recovery p50 / p99 | promised |\n|---|---|---|--:|--:|--:|--:|--:|--:|"
    )
    return "\n".join([head, *map(_row, outcomes)])


def _row(outcome: Outcome) -> str:
    one, verdict = outcome.scenario, outcome.verdict
    p50, p99 = verdict.recovery_ms(0.5), verdict.recovery_ms(0.99)
    cells = [
        f"`{one.name}`"
        + (f" ({outcome.skipped})" if outcome.skipped else "" if outcome.ok else " **failed**"),
        one.promise,
        one.setup.topology,
        *(f"{verdict.total(what):,}" for what in ("checked", "lost", "duplicated", "reordered")),
        "-" if p50 is None or p99 is None else f"{p50:,.0f} / {p99:,.0f} ms",
        f"{one.bound_ms:,} ms",
    ]
    return f"| {' | '.join(cells)} |"
