"""The commands of ``avatar-relay clips``, through control's API. What they need is imported when they run."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from relay_cli.console import fail, open_console

if TYPE_CHECKING:
    from relay_client import Backend
    from relay_client.resources import Clip

app = typer.Typer(
    help="Clips of the API key in RELAY_API_KEY: list them, cancel or remove them.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Control = Annotated[str, typer.Option(help="Base URL of control.")]

_CONTROL = "http://127.0.0.1:8081"
_GIVE_UP_S = 5.0
_STYLES = {"queued": "yellow", "rendering": "yellow", "ready": "green", "failed": "red", "cancelled": "dim"}


@app.command("list")
def list_(control: Control = _CONTROL, as_json: AsJson = False) -> None:
    """List the clips of the key, the newest first."""
    from relay_client import BackendError  # noqa: PLC0415

    try:
        clips = asyncio.run(_listed(_backend(control)))
    except BackendError as error:
        fail(str(error))
    _show(clips, as_json=as_json)


@app.command()
def delete(
    clips: Annotated[list[str], typer.Argument(help="Ids of clips.", show_default=False)],
    control: Control = _CONTROL,
    as_json: AsJson = False,
) -> None:
    """Cancel clips that are not rendered yet, and remove others; stops at the first that is refused."""
    from relay_client import BackendError  # noqa: PLC0415

    deleted: list[Clip] = []
    failure = ""
    try:
        asyncio.run(_delete(_backend(control), clips, deleted))
    except BackendError as error:
        failure = f"{clips[len(deleted)]}: {error}"
    if deleted or not failure:
        _show(deleted, as_json=as_json)
    if failure:
        fail(failure)


def _backend(control: str) -> "Backend":
    from relay_client import Backend  # noqa: PLC0415
    from relay_settings.environment import variable  # noqa: PLC0415

    key = variable("RELAY_API_KEY")
    if not key:
        fail("set RELAY_API_KEY to a key of control's with the scope push")
    return Backend(control, key, give_up_s=_GIVE_UP_S)


async def _listed(backend: "Backend") -> "list[Clip]":
    async with backend:
        return await backend.clips()


async def _delete(backend: "Backend", clips: Sequence[str], deleted: "list[Clip]") -> None:
    """Delete clips in order; ``deleted`` gets each at once, so that it has those before a refusal."""
    async with backend:
        for clip in clips:
            deleted.append(await backend.delete_clip(clip))


def _show(clips: "Sequence[Clip]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_object(clip) for clip in clips]))
        return
    rows = Table("clip", "state", "progress", "avatar", "seconds", "bytes", "created", "reason")
    for clip in clips:
        rows.add_row(
            escape(clip.id), f"[{_STYLES.get(clip.state, 'none')}]{escape(clip.state)}[/]",
            f"{clip.progress:.0%}", escape(clip.avatar_id), f"{clip.audio_ms / 1000:.1f}",
            f"{clip.size_bytes:,}", _time(clip.created_ms), escape(clip.reason or ""),
        )  # fmt: skip
    open_console().print(rows)


def _as_object(clip: "Clip") -> dict[str, Any]:
    return {name: getattr(clip, name) for name in clip.__struct_fields__}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds")
