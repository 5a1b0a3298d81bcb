"""The pages: what each says, and which differ from the tree."""

from collections.abc import Mapping
from pathlib import Path

from scripts.reference import configuration, keys, metrics

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def generated() -> dict[str, str]:
    """By file name, the text of each page. It depends on the code and on nothing else."""
    return {
        "configuration.md": configuration.page(),
        "metrics.md": metrics.page(metrics.collect()),
        "redis-keys.md": keys.page(),
    }


def outdated(folder: Path, pages: Mapping[str, str]) -> list[str]:
    """The names of the pages that a folder does not have, or has with another text."""
    return [name for name, text in pages.items() if _read(folder / name) != text]


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
