"""The services that have an image, as ``pyproject.toml`` lists them."""

import tomllib
from pathlib import Path


def extras_of(root: Path) -> dict[str, list[str]]:
    """By service, the extras of its image."""
    declared = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return dict(declared["tool"]["avatar-relay"]["images"])
