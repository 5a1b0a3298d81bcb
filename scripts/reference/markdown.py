"""Markdown: tables whose cells hold arbitrary text."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[<*\\|]")


def prose(text: str) -> str:
    """Text as it stands in a cell: markup characters outside of backticks are escaped."""
    parts = text.split("`")
    return "`".join(
        part.replace("|", r"\|") if index % 2 else _SPECIAL.sub(r"\\\g<0>", part)
        for index, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Text in backticks, for a cell."""
    return f"`{text}`".replace("|", r"\|")


def row(cells: Iterable[str]) -> str:
    """A line of a table. Cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table. Cells are Markdown already."""
    return "\n".join(map(row, (head, ["---"] * len(head), *rows))) + "\n"
