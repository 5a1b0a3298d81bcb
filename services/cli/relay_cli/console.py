"""The console that commands print on."""

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

_UNWRAPPED_COLUMNS = 1000
"""Wider than any row of any table."""


def open_console(*, stderr: bool = False) -> Console:
    """Open standard output or error, as wide as its terminal. Lines to a pipe or file are not wrapped."""
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _UNWRAPPED_COLUMNS
    return console


def fail(text: str) -> NoReturn:
    """Print why a command cannot do its work, and end it.

    Raises:
        Exit: With status 1.
    """
    open_console(stderr=True).print(
        f"[bold red]avatar-relay:[/] {escape(text)}", soft_wrap=True, highlight=False
    )
    raise typer.Exit(1)
