"""``make bench``: what the relay costs and how fast it is, beside the floor and what others use instead.

Every figure is worth something only beside the others of its run: machines differ and are disturbed.
"""

import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from tests.benchmarks import scenarios
from tests.benchmarks.cpu import machine
from tests.benchmarks.peers import PEERS
from tests.benchmarks.peers.parts import Missing
from tests.benchmarks.relay import NoRoute
from tests.benchmarks.report import Report
from tests.benchmarks.scenario import SCENARIOS, Options
from tests.benchmarks.worker import WorkerError

from relay_cli.console import open_console
from relay_cli.stack import StackError
from relay_redis.local_server import ServerError

assert scenarios.__all__

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)
_DESCRIPTORS = 20_000


@app.command()
def main(
    scenario: Annotated[str, typer.Option(help="Which work; see --list. 'all' runs everything.")] = "steady",
    peer: Annotated[
        str | None, typer.Option(help=f"Measure another server, too: {', '.join(PEERS)}.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List scenarios and peers.")] = False,  # noqa: FBT002
    quick: Annotated[bool, typer.Option(help="Short windows: one scenario in under 50 s.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,  # noqa: FBT002
    conversations: Annotated[int | None, typer.Option(min=1, help="How many.")] = None,
    viewers: Annotated[int | None, typer.Option(min=1, help="Of each conversation.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Frames published a second; steady seeks it otherwise.")
    ] = None,
    frame_bytes: Annotated[int | None, typer.Option(min=64, help="Payload of a frame.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.5, help="One window of measuring.")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="With steady: write a flame graph (SVG) of the gateway, too.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="With load: draw CPU against frames a second (SVG), too.")
    ] = None,
) -> None:
    """Measure CPU per delivered frame and publish-to-socket latency, beside the floor of this machine.

    Publisher, servers and viewers are processes of their own; CPU is what the operating system counts for the
    server's process alone. The [b]floor[/b] writes the same bytes to as many sockets and does nothing else.

    Examples:

      make bench ARGS="--scenario steady --quick --json"

      make bench ARGS="--scenario steady --peer socketio --rate 2000"

      make bench ARGS="--scenario fanout --viewers 500"

      make bench ARGS="--scenario load --plot out/capacity.svg"
    """
    console = open_console(stderr=as_json)
    if list_:
        console.print(_list())
        return
    names = list(SCENARIOS) if scenario == "all" else [scenario]
    if unknown := set(names) - set(SCENARIOS):
        raise typer.BadParameter(
            f"{unknown.pop()}: choose one of {', '.join(SCENARIOS)}", param_hint="--scenario"
        )
    if peer is not None and peer not in PEERS:
        raise typer.BadParameter(f"{peer}: choose one of {', '.join(PEERS)}", param_hint="--peer")
    if peer is not None and not any(SCENARIOS[name].peers for name in names):
        raise typer.BadParameter(f"{scenario} is about the relay alone", param_hint="--peer")
    _raise_limits()
    options = Options(quick, peer, conversations, viewers, rate, frame_bytes, seconds, profile, plot)
    console.print(f"[dim]{machine()}[/]", highlight=False)
    reports = [_run(name, options, console) for name in names]
    if as_json:
        found = [report.figures() for report in reports]
        print(json.dumps(found[0] if len(found) == 1 else {"scenario": "all", "scenarios": found}))  # noqa: T201


def _run(name: str, options: Options, console: Console) -> Report:
    """Run one scenario and show what it found."""
    with console.status(name) as status:

        def progress(text: str) -> None:
            status.update(f"{name}: {text}")
            if not console.is_terminal:
                console.print(f"{name}: {text}", highlight=False, soft_wrap=True)

        watched = replace(options, progress=progress)
        try:
            report: Report = uvloop.run(SCENARIOS[name].run(watched))
        except (Missing, NoRoute, WorkerError, StackError, ServerError) as error:
            status.stop()
            console.print(f"[bold red]{name}[/]: {error}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None
    for table in report.tables():
        console.print(table)
    for note in report.notes:
        console.print(f"[yellow]{note}[/]", highlight=False, soft_wrap=True)
    if any(sample.saturated for sample in report.samples):
        console.print("[yellow]The machine was busy to the last in some windows: their latencies show it.[/]")
    return report


def _list() -> Table:
    table = Table("name", "what")
    for one in SCENARIOS.values():
        table.add_row(one.name, one.what)
    table.add_section()
    for name, peer in PEERS.items():
        table.add_row(f"--peer {name}", (peer.__doc__ or "").split("\n")[0])
    return table


def _raise_limits() -> None:
    """Thousands of sockets; child processes inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    app()
