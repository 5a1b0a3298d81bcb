"""The documentation's commands, as they are written."""

import re
from typing import NamedTuple

from tests.rigs.imports import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One block of code."""

    language: str
    text: str


def blocks(page: str, heading: str) -> list[Block]:
    """The blocks of code in a page's section, in order; those of the sections within it are among them.

    Args:
        page: The page's path in the checkout.
        heading: The heading of the section with its ``#``.

    Raises:
        ValueError: The page has no such heading.
    """
    text = (ROOT / page).read_text("utf-8")
    start = text.index(f"{heading}\n")
    level = heading.partition(" ")[0].count("#")
    # A comment of a shell at the begin of a line is in a block, and no heading: it is left out of the search.
    outline = _BLOCK.sub(lambda block: " " * len(block[0]), text)
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(outline, start + len(heading))
    return [Block(*found) for found in _BLOCK.findall(text[start : end.start() if end else None])]


def shell_script(page: str, heading: str) -> str:
    """The shell's blocks of a section, as one script that ends at the first command that fails."""
    commands = [block.text for block in blocks(page, heading) if block.language == "sh"]
    return "\n".join(["set -eu", *commands])
