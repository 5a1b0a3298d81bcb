"""``avatar-relay``: the command line.

Each command's module is imported when it runs, since each needs its own extra.
"""

import asyncio
import importlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from relay_cli.clips import app as clips
from relay_cli.console import open_console
from relay_cli.recordings.commands import app as recordings
from relay_cli.verify.command import verify
from relay_cli.webhooks.commands import app as webhooks
from relay_runtime import extra
from relay_telemetry import logs

app = typer.Typer(
    name="avatar-relay",
    help="Relay speech and motion of talking avatars to every viewer.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)


@app.callback()
def _configure() -> None:
    """Relay speech and motion of talking avatars to every viewer."""
    # A command prints its own errors, as one sentence.
    logs.configure("cli", level="error", style="console")


class Service(StrEnum):
    """The services that ``serve`` runs."""

    GATEWAY = "gateway"
    INGEST = "ingest"
    CONTROL = "control"
    JOBS = "jobs"
    SIMULATOR = "simulator"


keys = typer.Typer(help="API keys of backends.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(webhooks, name="webhooks")
app.add_typer(recordings, name="recordings")
app.add_typer(clips, name="clips")
app.command()(verify)


@keys.command()
def new(
    scopes: Annotated[
        str,
        typer.Option(help="Scopes of the key, comma-separated: create, push, tokens; admin has all."),
    ] = "create,push,tokens",
) -> None:
    """Create an API key, and the entry of it for control.

    The key is printed once. Control stores its digest only: add the entry to RELAY_API_KEYS beside the
    existing ones, and remove an old entry when its key is no longer used.
    """
    from relay_auth.api_keys import Scope, new_key  # noqa: PLC0415

    try:
        wanted = [Scope(name.strip()) for name in scopes.split(",")]
    except ValueError as error:
        _fail(f"--scopes: {error}; the scopes are {', '.join(Scope)}")
    text, known = new_key(wanted)
    typer.echo(f"key, for the backend: {text}\nentry, for RELAY_API_KEYS: {known}")


@app.command()
def demo(
    wav: Annotated[
        Path | None, typer.Option(help="Speech to play: mono 16-bit WAV. Default: a clip of the package.")
    ] = None,
    turns: Annotated[
        int, typer.Option(min=1, help="Number of turns; odd ones are posted whole, even ones streamed live.")
    ] = 2,
    viewers: Annotated[
        int, typer.Option(min=1, help="Number of viewers, alternating between two gateways.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    keep: Annotated[
        bool, typer.Option(help="Keep the relay running afterwards and print its addresses.")
    ] = False,
    real: Annotated[
        bool, typer.Option(help="Use the vendor's cloud; needs the SPATIUS_* variables.")
    ] = False,
) -> None:
    """Run a whole relay on this machine: speech in, viewers on two gateways, one disconnected in mid-turn.

    Starts Redis, the simulator, control, two ingest workers, two gateways and the jobs service as processes
    on free loopback ports. Exit status 0 only if every viewer received the same audio and motion, byte for
    byte, and if a receiver got every webhook of the conversation.
    """
    from relay_cli.demo import Demo, DemoError, DemoOptions  # noqa: PLC0415
    from relay_cli.stack import StackError  # noqa: PLC0415
    from relay_redis.local_server import ServerError  # noqa: PLC0415

    console = open_console(stderr=as_json)
    try:
        report = asyncio.run(Demo(DemoOptions(wav, turns, viewers, keep, real), console).run())
    except (DemoError, StackError, ServerError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def serve(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="|".join(Service), help="The service.")],
) -> None:
    """Run one service; its settings are RELAY_* variables or flags (try: serve gateway --help).

    Jobs are several processes: serve jobs dispatcher, serve jobs worker, serve jobs beat.
    """
    if service in ("-h", "--help"):
        typer.echo(context.get_help())
        return
    if service not in list(Service):
        raise typer.BadParameter(f"{service!r} is not one of {', '.join(Service)}", param_hint="SERVICE")
    sys.argv = [f"avatar-relay serve {service}", *context.args]
    importlib.import_module(f"relay_{service}.__main__").main()


@app.command()
def tail(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    gateway: Annotated[str, typer.Option(help="Base URL of a gateway.")] = "ws://127.0.0.1:8080",
    token: Annotated[str, typer.Option(envvar="RELAY_VIEWER_TOKEN", help="A viewer token.")] = "",
    control: Annotated[
        str, typer.Option(help="Base URL of control, which issues a token for RELAY_API_KEY.")
    ] = "http://127.0.0.1:8081",
    start: Annotated[
        str,
        typer.Option(
            "--from", help="turn (if it still plays), last (even if it has ended), live, or a position."
        ),
    ] = "turn",
) -> None:
    """Watch a conversation's frames in the terminal, live."""
    from relay_cli.tail import TailError, run_tail  # noqa: PLC0415

    try:
        asyncio.run(
            run_tail(
                conversation,
                gateway=gateway,
                token=token,
                control=control,
                start=start,
                console=open_console(),
            )
        )
    except TailError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording: an .avrec file.", show_default=False)],
    speed: Annotated[float, typer.Option(min=0.01, help="How many times as fast as recorded.")] = 1.0,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a first viewer; 0: begin at once.")
    ] = 60.0,
    conversation: Annotated[
        str, typer.Option(help="Id of the conversation that is created.", show_default="made of the recorded")
    ] = "",
) -> None:
    """Play a recording through the gateways at RELAY_REDIS_URL, in a conversation of its own."""
    from relay_cli.replay.command import ReplayError, run_replay  # noqa: PLC0415

    try:
        asyncio.run(
            run_replay(file, speed=speed, wait_s=wait, conversation=conversation, show=open_console().print)
        )
    except ReplayError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def top(
    target: Annotated[
        list[str] | None,
        typer.Option(help="Admin address of a process; may be repeated.", show_default=False),
    ] = None,
    targets_file: Annotated[
        list[Path] | None,
        typer.Option(help="File of targets in Prometheus's file_sd format (JSON).", show_default=False),
    ] = None,
    dns: Annotated[
        list[str] | None,
        typer.Option(help="NAME:PORT; every address of the name is a target.", show_default=False),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between rounds.")] = 2.0,
    window: Annotated[float, typer.Option(min=0.1, help="Seconds that rates and quantiles are of.")] = 30.0,
    sample_rate: Annotated[
        int, typer.Option(min=1, help="Of the conversations' audio, to convert bytes to seconds.")
    ] = 16000,
    once: Annotated[bool, typer.Option("--once", help="Print one view; status 1 if critical.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print one JSON object.")] = False,
    svg: Annotated[
        Path | None, typer.Option(help="With --once: write a picture there, too.", show_default=False)
    ] = None,
) -> None:
    """Show the whole relay live: what is wrong, conversations, lags, Motion sessions, viewers, processes.

    Reads the admin ports of the processes named by the options, or by RELAY_TOP_TARGETS. Without a terminal
    it prints one view, as with --once.

    For example:

      avatar-relay top --target 127.0.0.1:9090 --target 127.0.0.1:9091

      avatar-relay top --dns gateway.relay.svc:9090 --dns ingest.relay.svc:9090
    """
    from relay_cli.top.command import print_once, run_top, sources  # noqa: PLC0415
    from relay_cli.top.targets import TargetError  # noqa: PLC0415

    console = open_console()
    try:
        where = sources(target or (), targets_file or (), dns or ())
        if not (once or as_json or svg) and console.is_terminal:
            asyncio.run(
                run_top(where, console, interval_s=interval, window_s=window, sample_rate=sample_rate)
            )
        fine = asyncio.run(
            print_once(where, console, interval_s=interval, sample_rate=sample_rate, as_json=as_json, svg=svg)
        )
    except TargetError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if fine else 1)


@app.command()
def explain(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    turn: Annotated[
        int | None, typer.Option(min=1, help="The turn. Default: the last.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Show a turn hop by hop, from its frames in Redis (RELAY_REDIS_URL), and name the slowest hop."""
    from relay_cli.explain.command import explain_turn, report  # noqa: PLC0415
    from relay_cli.explain.store import ExplainError  # noqa: PLC0415
    from relay_cli.explain.text import show  # noqa: PLC0415

    try:
        timeline = asyncio.run(explain_turn(conversation, turn))
    except ExplainError as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(report(timeline)))
    else:
        show(timeline, open_console())


@app.command()
def doctor(
    services: Annotated[
        list[Service] | None,
        typer.Argument(
            help="The services of this machine. Default: gateway, ingest and control, and jobs where they are"
            " on.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Check the environment of a relay, or of some of its services; with a fix for each fault.

    Settings, Redis, workers, vendor, clock, ports, and whether a gateway accepts control's tokens.
    """
    from relay_cli.doctor.examination import examine, show  # noqa: PLC0415

    findings = asyncio.run(examine(services or ()))
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        show(findings, open_console())
    raise typer.Exit(1 if any(finding.state == "fail" for finding in findings) else 0)


@app.command()
def capacity(
    conversations: Annotated[
        list[int] | None,
        typer.Option(
            help="Conversations open at a time; repeatable. Default: 1,000 to 1,000,000.", show_default=False
        ),
    ] = None,
    viewers: Annotated[float, typer.Option(help="Viewers of each conversation, on average.")] = 1.0,
    speaking: Annotated[
        float, typer.Option(help="Share of the conversations that speak at a time, up to 1.")
    ] = 1.0,
    utilisation: Annotated[
        float, typer.Option(help="Share of its core that a process may use, up to 1.")
    ] = 0.6,
    gateway_us: Annotated[
        float | None, typer.Option(help="CPU of a gateway per delivered frame, by load.")
    ] = None,
    ingest_us: Annotated[
        float | None, typer.Option(help="CPU of ingest per published frame, by ingest.")
    ] = None,
    control_us: Annotated[
        float | None, typer.Option(help="CPU of control per published frame, by ingest.")
    ] = None,
    redis_us: Annotated[
        float | None, typer.Option(help="CPU of Redis per published frame, by ingest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Compute the processes, cores and Redis shards that N conversations need, with the costs behind them.

    The costs are those of the machine in docs/reports/performance.md. Yours differs: measure there with
    [b]make bench ARGS="--scenario load"[/] and [b]"--scenario ingest"[/], and pass the printed costs.

    For example:

      avatar-relay capacity --conversations 5000 --viewers 2 --speaking 0.4

      avatar-relay capacity --conversations 5000 --gateway-us 25 --redis-us 40 --ingest-us 200
    """
    from dataclasses import replace  # noqa: PLC0415

    from relay_cli import capacity_table  # noqa: PLC0415
    from relay_cli.capacity import MEASURED, SOURCES, Demand, OutOfRange, plan  # noqa: PLC0415

    given = {
        "gateway_us": gateway_us, "ingest_us": ingest_us, "control_us": control_us, "redis_us": redis_us
    }  # fmt: skip
    own = {name: value for name, value in given.items() if value is not None}
    sources = {**SOURCES, **{name: _option(name) for name in own}}
    try:
        costs = replace(MEASURED, **own)
        demands = [
            Demand(count, viewers, speaking, utilisation)
            for count in conversations or (1_000, 10_000, 100_000, 1_000_000)
        ]
        plans = [plan(demand, costs) for demand in demands]
    except OutOfRange as error:
        raise typer.BadParameter(str(error), param_hint=_option(error.name)) from None
    if as_json:
        print(json.dumps(capacity_table.figures(plans, costs, sources)))
    else:
        capacity_table.show(plans, costs, sources, open_console())


@app.command()
def settings(service: Service) -> None:
    """List a service's settings: variable, default, meaning."""
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from relay_settings.catalogue import SERVICES  # noqa: PLC0415

    table = Table("variable", "default", "meaning")
    for row in SERVICES[service].variables():
        table.add_row(*map(escape, row))
    open_console().print(table)


@app.command()
def version() -> None:
    """Print the version."""
    from relay_telemetry.version import version as installed  # noqa: PLC0415

    print(installed())


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _fail(text: str) -> NoReturn:
    open_console(stderr=True).print(
        f"[bold red]avatar-relay:[/] {escape(text)}", soft_wrap=True, highlight=False
    )
    raise typer.Exit(1)


def main() -> None:
    """Run a command."""
    try:
        app()
    except ModuleNotFoundError as error:  # of what a command imports: it may need a service
        sys.exit(extra.missing(error, "all"))


if __name__ == "__main__":
    main()
