"""The commands of ``avatar-relay recordings``. What they do is imported when they run."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from relay_cli.console import fail, open_console

if TYPE_CHECKING:
    from relay_cli.recordings.inventory import Recording

app = typer.Typer(help="Recordings: what is stored, and what is not finished.", no_args_is_help=True)

_STYLES = {"running": "yellow", "waiting": "yellow", "finished": "green", "lost": "red"}
_AGES = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Most recordings printed.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List recordings, the newest first, from RELAY_RECORDINGS_URL and from Redis (RELAY_REDIS_URL).

    A conversation that is open is running, one that has ended is waiting until its file is whole. Of a lost
    one there are parts, and Redis has no record of its conversation.
    """
    try:
        from relay_cli.recordings.inventory import InventoryError, recordings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: pip install 'avatar-relay[jobs]'")
    try:
        found, more = asyncio.run(recordings(limit))
    except InventoryError as error:
        fail(str(error))
    if as_json:
        print(json.dumps([_as_object(recording) for recording in found]))
        return
    console = open_console()
    console.print(_table(found))
    if more:
        console.print(f"There are more; --limit {limit * 10} shows more of them.")


def _table(found: "list[Recording]") -> Table:
    now_s = time.time()
    rows = Table("conversation", "state", "size", "stored")
    for recording in found:
        state = f"[{_STYLES[recording.state]}]{recording.state}[/]"
        stored = _age(now_s - recording.stored_s) if recording.stored_s else ""
        rows.add_row(escape(recording.conversation), state, f"{recording.size_bytes:,}", stored)
    return rows


def _as_object(recording: "Recording") -> dict[str, object]:
    stored = datetime.fromtimestamp(recording.stored_s, UTC).isoformat(" ", "seconds")
    return {
        "conversation": recording.conversation, "state": recording.state,
        "size_bytes": recording.size_bytes, "stored": stored if recording.stored_s else "",
    }  # fmt: skip


def _age(seconds: float) -> str:
    unit, length = next(((unit, length) for unit, length in _AGES if seconds >= length), _AGES[-1])
    return f"{max(int(seconds // length), 0)} {unit} ago"
