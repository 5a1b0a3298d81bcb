"""The commands about a whole relay: one to try, one that runs, one to be planned."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from relay_cli.console import fail, open_console


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
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(report))
    raise typer.Exit(0 if report["ok"] else 1)


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
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if fine else 1)


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


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
