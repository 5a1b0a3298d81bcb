"""The metrics of the reference page, which another test compares with the code."""

import re
from typing import NamedTuple

from scripts.reference.pages import FOLDER


class Row(NamedTuple):
    """One metric of the reference page."""

    name: str
    kind: str
    labels: dict[str, str]
    """By the label's name, its values as the page has them."""
    meaning: str


def rows() -> list[Row]:
    """Every metric of the reference page."""
    found = []
    for line in (FOLDER / "metrics.md").read_text("utf-8").splitlines():
        if line.startswith("| `relay_"):
            name, kind, labels, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            pairs = (label.split(": ", 1) for label in labels.split("; ") if label)
            found.append(
                Row(name.strip("`"), kind, {label.strip("`"): text for label, text in pairs}, meaning)
            )
    return found
