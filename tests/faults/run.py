"""``make faults``: breaks a running relay in every way there is, and shows what viewers got.

Ends with status 1 if anything that is promised did not hold. When all faults were run, the table in
``docs/design/guarantees.md`` is written anew.
"""

import json
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from tests.faults import (
    administration,
    backends,
    bodies,
    crowds,
    failovers,
    gateways,
    machines,
    one_redis,
    owners,
)
from tests.faults.guarantees import write
from tests.faults.scenario import SCENARIOS, Outcome, Scenario, lengthened, run, unreaped

from relay_cli.console import open_console
from relay_telemetry import logs

STORIES = (owners, gateways, one_redis, failovers, administration, machines, bodies, backends, crowds)
"""The modules whose import fills the registry, in the order of the table."""


def main(
    only: Annotated[str, typer.Option(help="Run these, by name, comma-separated.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the faults and what is promised.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,  # noqa: FBT002
    long: Annotated[bool, typer.Option("--long", help="Let the jitter last three minutes.")] = False,  # noqa: FBT002
    reaper: Annotated[bool, typer.Option(help="Run the reaper beside each fault.")] = True,  # noqa: FBT002
) -> None:
    """Break the relay in every way there is, and compare what every viewer got with what was published."""
    console = open_console(stderr=as_json)
    logs.configure("faults", level="error", style="console")
    if list_:
        console.print(_list())
        return
    chosen = [lengthened(one) if long else one for one in _chosen(only)]
    chosen = chosen if reaper else [unreaped(one) for one in chosen]
    outcomes = [_run(one, console) for one in chosen]
    console.print(_table(outcomes))
    for outcome in outcomes:
        for problem in outcome.complaints:
            console.print(f"[bold red]{outcome.scenario.name}[/]: {problem}", highlight=False, soft_wrap=True)
    if len(chosen) == len(SCENARIOS):
        write(outcomes)
    if as_json:
        print(json.dumps({outcome.scenario.name: outcome.to_json() for outcome in outcomes}))  # noqa: T201
    raise typer.Exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def ordered() -> list[str]:
    """Every fault's name, kind by kind."""
    places = [story.__name__ for story in STORIES]
    return sorted(SCENARIOS, key=lambda name: places.index(SCENARIOS[name].story.__module__))


def _chosen(only: str) -> list[Scenario]:
    names = [name.strip() for name in only.split(",") if name.strip()] or ordered()
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise typer.BadParameter(f"no such fault: {', '.join(unknown)}; --list shows them")
    return [SCENARIOS[name] for name in names]


def _run(one: Scenario, console: Console) -> Outcome:
    with console.status(f"{one.name} on {one.setup.topology}"):
        outcome = uvloop.run(run(one))
    console.print(f"{_mark(outcome)} {one.name}, {outcome.seconds:.0f} s", highlight=False)
    return outcome


def _mark(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"[yellow]skipped: {outcome.skipped}[/]"
    return "[green]ok[/]" if outcome.ok else "[bold red]failed[/]"


def _list() -> Table:
    table = Table("fault", "topology", "promise", "within")
    for one in map(SCENARIOS.__getitem__, ordered()):
        table.add_row(one.name, one.setup.topology, one.promise, f"{one.bound_ms} ms")
    return table


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(
        "fault", "topology", "frames", "lost", "twice", "reordered", "recovery p50/p99", "promised", ""
    )
    for outcome in outcomes:
        verdict = outcome.verdict
        p50, p99 = verdict.recovery_ms(0.5), verdict.recovery_ms(0.99)
        table.add_row(
            outcome.scenario.name, outcome.scenario.setup.topology,
            *(str(verdict.total(what)) for what in ("checked", "lost", "duplicated", "reordered")),
            "-" if p50 is None else f"{p50:.0f} / {p99:.0f} ms", f"{outcome.scenario.bound_ms} ms",
            _mark(outcome),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    typer.run(main)
