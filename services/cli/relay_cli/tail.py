"""Tail: prints a conversation's frames as they arrive."""

import time
from collections import deque
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from relay_client import Backend, RelayError, Viewer
from relay_settings.environment import variable
from relay_wire import events
from relay_wire.frame import Frame, Kind

_ROWS = 20


class TailError(Exception):
    """Raised when the conversation cannot be watched; the text names the fix."""


class _Row(NamedTuple):
    position: str
    turn: str
    kind: str
    size: str
    media_ms: str
    latency_ms: str
    what: str


_COLUMNS = ("position", "turn", "kind", "bytes", "media ms", "latency ms", "what")


async def run_tail(
    conversation: str, *, gateway: str, token: str, control: str, start: str, console: Console
) -> None:
    """Print frames until the conversation ends: as a live table on a terminal, else one line each.

    Raises:
        TailError: There is no token, or the gateway refuses.
    """
    try:
        async with Viewer(
            gateway, conversation, token or await _token(control, conversation), start=start
        ) as viewer:
            if console.is_terminal:
                await _show_table(viewer, console)
            else:
                async for frame in viewer:
                    print("\t".join(_row(frame)), flush=True)
    except RelayError as error:
        raise TailError(str(error)) from None


async def _token(control: str, conversation: str) -> str:
    api_key = variable("RELAY_API_KEY")
    if not api_key:
        raise TailError(
            "give --token (or RELAY_VIEWER_TOKEN), or set RELAY_API_KEY to get one from --control"
        )
    async with Backend(control, api_key) as backend:
        return (await backend.token(conversation, role="listen")).token


async def _show_table(viewer: Viewer, console: Console) -> None:
    rows: deque[_Row] = deque(maxlen=_ROWS)

    def table() -> Table:
        seen = viewer.report
        title = (
            f"{seen.frames} frames, {seen.gaps} gaps, {seen.duplicates} duplicates, {seen.resumes} resumes"
        )
        view = Table(*_COLUMNS, title=title, expand=True)
        for row in rows:
            view.add_row(*row)
        return view

    with Live(console=console, refresh_per_second=10, get_renderable=table):
        async for frame in viewer:
            rows.append(_row(frame))


def _row(frame: Frame) -> _Row:
    latency = f"{time.time() * 1000 - frame.published_at_us / 1000:.1f}" if frame.published_at_us else ""
    return _Row(
        position=str(frame.position) if frame.seq else "-",
        turn=str(frame.turn),
        kind=frame.kind.name.lower(),
        size=str(len(frame.payload)),
        media_ms=str(frame.media_ms),
        latency_ms=latency,
        what=_what(frame),
    )


def _what(frame: Frame) -> str:
    if frame.kind is not Kind.EVENT:
        return "END" if frame.is_end else ""
    event = events.decode(frame.payload)
    return event.type if isinstance(event, events.Unknown) else repr(event)
