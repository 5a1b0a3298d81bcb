"""The commands about one conversation: watched, played again, explained."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from relay_cli.console import fail, open_console


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
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


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
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


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
        fail(str(error))
    if as_json:
        print(json.dumps(report(timeline)))
    else:
        show(timeline, open_console())
