"""The commands about one service, and about those of this machine."""

import asyncio
import importlib
import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from relay_cli.console import open_console


class Service(StrEnum):
    """The services that ``serve`` runs."""

    GATEWAY = "gateway"
    INGEST = "ingest"
    CONTROL = "control"
    JOBS = "jobs"
    SIMULATOR = "simulator"


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


def settings(service: Service) -> None:
    """List a service's settings: variable, default, meaning."""
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from relay_settings.catalogue import SERVICES  # noqa: PLC0415

    table = Table("variable", "default", "meaning")
    for row in SERVICES[service].variables():
        table.add_row(*map(escape, row))
    open_console().print(table)


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
