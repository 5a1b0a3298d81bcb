"""The console that commands print on."""

from rich.console import Console

_UNWRAPPED_COLUMNS = 1000
"""Wider than any row of any table."""


def open_console(*, stderr: bool = False) -> Console:
    """Open standard output or error, as wide as its terminal. Lines to a pipe or file are not wrapped."""
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _UNWRAPPED_COLUMNS
    return console
