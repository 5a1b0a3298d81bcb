"""The generated files: the text of each, and which differ from the tree."""

from collections.abc import Mapping
from pathlib import Path

from scripts.chart import readme, schema

FOLDER = Path(__file__).parents[2] / "helm" / "avatar-relay"


def generated(folder: Path) -> dict[str, str]:
    """By file name, the text of each file. It depends on the settings, and on the files of the folder."""
    return {
        "values.schema.json": schema.text((folder / "values.schema.json").read_text("utf-8")),
        "README.md": readme.text(
            template=(folder / "README.md.tmpl").read_text("utf-8"),
            values=(folder / "values.yaml").read_text("utf-8"),
            chart=(folder / "Chart.yaml").read_text("utf-8"),
        ),
    }


def outdated(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """The names of the files that a folder does not have, or has with another text."""
    return [name for name, text in texts.items() if _read(folder / name) != text]


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
