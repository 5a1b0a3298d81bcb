"""The command ``avatar-relay verify``."""

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

from relay_cli.console import open_console
from relay_cli.verify.text import summary, verdict
from relay_settings.environment import variable

if TYPE_CHECKING:
    from relay_cli.verify.verification import Verification

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_PROGRESS_S = 10.0
"""Interval of progress lines where there is no terminal."""


def verify(
    conversations: Annotated[int, typer.Option(min=1, help="Conversations that speak at a time.")] = 2,
    viewers: Annotated[int, typer.Option(min=1, help="Viewers of each conversation.")] = 2,
    turns: Annotated[
        int, typer.Option(min=1, help="Turns of each; odd ones are posted whole, even ones streamed live.")
    ] = 2,
    duration_s: Annotated[
        float | None,
        typer.Option(
            "--for", min=0, help="Seconds to begin turns for, instead of --turns.", show_default=False
        ),
    ] = None,
    turn_ms: Annotated[int, typer.Option(min=100, help="Length of a turn, in ms.")] = 3000,
    control: Annotated[
        str,
        typer.Option(help="Base URL of control.", show_default="RELAY_CONTROL_URL, http://127.0.0.1:8081"),
    ] = "",
    gateway_url: Annotated[
        list[str] | None,
        typer.Option(
            help="Base URL of a gateway; repeatable, then viewers alternate.", show_default="by control"
        ),
    ] = None,
    simulator: Annotated[
        str, typer.Option(help="Base URL of the simulator: motion is compared with what it sent.")
    ] = "",
    turn_timeout: Annotated[
        float, typer.Option(min=1, help="Longest wait for a turn at every viewer, in seconds.")
    ] = 60.0,
    give_up: Annotated[
        float, typer.Option(min=1, help="Seconds for which a connection may fail before it is lost for good.")
    ] = 120.0,
    cut: Annotated[
        bool, typer.Option(help="Cut one connection of each conversation in the middle of turn 2.")
    ] = True,
    label: Annotated[str, typer.Option(help="Name of this run, for its report.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="File to write the report to, as JSON.", show_default=False)
    ] = None,
) -> None:
    """Verify a running relay from outside: speak, watch, and compare what every viewer received.

    Creates conversations at RELAY_CONTROL_URL with the key in RELAY_API_KEY. Viewers and backend resume by
    themselves: restarts of any part while it runs lose nothing. SIGINT and SIGTERM end it with whole turns.

    Exit status 0 if every viewer received every frame once, in order and unchanged; 1 if not; 2 if the
    verification could not run.
    """
    from relay_cli.verify.verification import CannotRun, Options, Verification  # noqa: PLC0415

    api_key = variable("RELAY_API_KEY")
    if not api_key:
        _cannot_run("set RELAY_API_KEY to an API key of control's: avatar-relay keys new creates one")
    if report is not None and not report.parent.is_dir():
        _cannot_run(f"--report: there is no directory {report.parent}")
    options = Options(
        control_url=control or variable("RELAY_CONTROL_URL") or "http://127.0.0.1:8081",
        api_key=api_key,
        gateway_urls=tuple(gateway_url or ()),
        simulator_url=simulator,
        conversations=conversations,
        viewers=viewers,
        turns=turns,
        duration_s=duration_s,
        turn_ms=turn_ms,
        turn_timeout_s=turn_timeout,
        give_up_s=give_up,
        cut=cut,
        label=label,
    )
    try:
        result = asyncio.run(_run(Verification(options), open_console(stderr=as_json)))
    except CannotRun as error:
        _cannot_run(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    text = json.dumps(result)
    if report is not None:
        report.write_text(text + "\n")
    if as_json:
        print(text)
    raise typer.Exit(0 if result["ok"] else 1)


async def _run(verification: "Verification", console: Console) -> dict[str, Any]:
    """Run with progress: a live line on a terminal, else one line every ten seconds; then the summary.

    The first SIGINT or SIGTERM ends the run with whole turns, the second ends the process.
    """
    loop = asyncio.get_running_loop()

    def stop() -> None:
        verification.stop()
        for number in _STOPPING:
            loop.remove_signal_handler(number)

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    others = [asyncio.create_task(_announce_frames(verification))]
    try:
        if console.is_terminal:
            view = Live(
                console=console,
                refresh_per_second=4,
                transient=True,
                get_renderable=lambda: Spinner("dots", verification.progress()),
            )
            with view:
                result = await verification.run()
        else:
            others.append(asyncio.create_task(_print_progress(verification, console)))
            result = await verification.run()
    finally:
        for task in others:
            task.cancel()
    _print_summary(result, console)
    return result


async def _announce_frames(verification: "Verification") -> None:
    """One line on standard error, for scripts that wait for load."""
    count = await verification.until_received()
    open_console(stderr=True).print(f"all {count} viewers receive frames", highlight=False)


async def _print_progress(verification: "Verification", console: Console) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        console.print(verification.progress(), highlight=False)


def _print_summary(result: dict[str, Any], console: Console) -> None:
    for line in summary(result):
        console.print(line, highlight=False, soft_wrap=True)
    for failure in result["failures"]:
        console.print(f"[bold red]failed[/]: {escape(failure)}", highlight=False, soft_wrap=True)
    console.print(verdict(result), style="bold green" if result["ok"] else "bold red", highlight=False)


def _cannot_run(text: str) -> NoReturn:
    open_console(stderr=True).print(
        f"[bold red]avatar-relay:[/] {escape(text)}", soft_wrap=True, highlight=False
    )
    raise typer.Exit(2)
