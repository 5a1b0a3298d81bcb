"""``make kube-test``: installs the chart in a real cluster, and breaks the cluster under load.

Ends with status 1 if a state was not reached or a viewer missed anything. When all steps were run, the
table in ``docs/operations/upgrades.md`` is written anew.
"""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from tests.kube import breaking, images, installing, page, quick_start, scaling
from tests.kube.cluster import Cluster
from tests.kube.load import FEW, MANY
from tests.kube.release import Release
from tests.kube.step import Outcome, Step, run
from tests.rigs.imports import ROOT

from relay_cli.console import open_console

NAMESPACE = "relay-kube-test"
INSTALL = "install"
LOGS = ROOT / "build" / "kube"

STEPS = (
    Step(
        "quick_start", "the quick start for Kubernetes, as the page has it", quick_start.run_quick_start,
        load=None, short=True,
    ),
    Step(INSTALL, "`helm install --wait`", installing.install, load=None, short=True),
    Step("test", "`helm test`", installing.helm_test, load=None, short=True),
    Step("roll", "`helm upgrade` of every component to a second build", installing.roll, short=True),
    Step("roll_back", "`helm rollback` to the first build", installing.roll_back),
    Step(
        "drain", "`kubectl drain` of a node, against the budgets, and `uncordon`", breaking.drain,
        prepare=breaking.spread,
    ),
    Step("gateway_deleted", "a gateway's pod deleted with grace period 0", breaking.delete_gateway),
    Step("gateway_killed", "a gateway killed with SIGKILL", breaking.kill_gateway),
    Step("ingest_killed", "each ingest worker killed with SIGKILL, in turn, twice", breaking.kill_ingest),
    Step("redis_restarted", "the pod of Redis deleted; AOF on its volume", breaking.restart_redis),
    Step(
        "node_parted", "a node cut off from everything for a minute", breaking.part_node,
        prepare=breaking.spread,
    ),
    Step("gateways_scaled", "an autoscaler on CPU, and 96 viewers", scaling.scale_gateways, load=MANY),
    Step(
        "gateways_scaled_on_viewers", "an autoscaler on viewers alone, and 96 more of them",
        scaling.scale_gateways_on_viewers, prepare=scaling.by_viewers,
    ),
    Step(
        "ingest_scaled", "KEDA on the workers that all conversations need", scaling.scale_ingest,
        load=FEW, prepare=scaling.one_worker,
    ),
    Step("uninstall", "`helm uninstall`", installing.uninstall, load=None),
)  # fmt: skip
"""In this order, each on what the one before has left."""


def main(
    short: Annotated[bool, typer.Option("--short", help="Quick start, install, test and roll.")] = False,  # noqa: FBT002
    only: Annotated[str, typer.Option(help="Run these after the installation, comma-separated.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the steps.")] = False,  # noqa: FBT002
    build: Annotated[bool, typer.Option(help="Build images, or use those of the last run.")] = True,  # noqa: FBT002
    keep: Annotated[bool, typer.Option("--keep", help="Leave the release in the cluster.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,  # noqa: FBT002
) -> None:
    """Install the chart in a real cluster, and break the cluster while conversations speak."""
    console = open_console(stderr=as_json)
    if list_:
        for step in STEPS:
            console.print(f"{step.name:26}  {step.what}", highlight=False)
        return
    chosen = _chosen(only, short=short)
    LOGS.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(NAMESPACE, LOGS / "commands.log")
    cluster.start()
    with console.status("building images, and copying them to the nodes"):
        builds = images.prepare(cluster, anew=build)
    release = Release(cluster, builds, LOGS)
    release.prepare()
    try:
        outcomes = _run(chosen, release, console)
    finally:
        if not keep:
            cluster.remove_namespace()
    console.print(_table(outcomes))
    for outcome in outcomes:
        if outcome.problem:
            console.print(
                f"[bold red]{outcome.step.name}[/]: {outcome.problem}", highlight=False, soft_wrap=True
            )
    if len(outcomes) == len(STEPS):
        page.write(outcomes)
    if as_json:
        print(json.dumps({one.step.name: one.to_json() for one in outcomes}))  # noqa: T201
    raise typer.Exit(0 if all(outcome.ok for outcome in outcomes) and len(outcomes) == len(chosen) else 1)


def _chosen(only: str, *, short: bool) -> list[Step]:
    names = {name.strip() for name in only.split(",") if name.strip()}
    unknown = names - {step.name for step in STEPS}
    if unknown:
        raise typer.BadParameter(f"no such step: {', '.join(sorted(unknown))}; --list shows them")
    if short:
        return [step for step in STEPS if step.short]
    return [step for step in STEPS if not names or step.name in names | {INSTALL}]


def _run(steps: list[Step], release: Release, console: Console) -> list[Outcome]:
    """Run steps in order; what follows a failed installation is not run."""
    outcomes: list[Outcome] = []
    for step in steps:
        with console.status(f"{step.name}: {step.what}"):
            outcome = run(step, release)
        if not outcome.ok:
            release.collect(LOGS / step.name)
        said = outcome.seen or outcome.problem
        console.print(
            f"{_mark(outcome)} {step.name}, {outcome.seconds:.0f} s: {said}", highlight=False, soft_wrap=True
        )
        outcomes.append(outcome)
        if outcome.problem and step.name == INSTALL:
            break
    return outcomes


def _mark(outcome: Outcome) -> str:
    return "[green]ok[/]" if outcome.ok else "[bold red]failed[/]"


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("step", *page.COUNTS, "recovery p50/p99", "stall p50/p99", "s", "")
    for outcome in outcomes:
        table.add_row(
            outcome.step.name, *page.cells(outcome.verdict), f"{outcome.seconds:.0f}", _mark(outcome)
        )
    return table


if __name__ == "__main__":
    typer.run(main)
