"""The version of a source tree: it is declared in several places, which must agree."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

CHART = Path("helm/avatar-relay")
COMPOSE = Path("docker-compose.yml")
UNRELEASED = "Unreleased"
"""The changelog's heading of what has no version yet."""

_HEADING = re.compile(r"^## \[?(?P<version>[^\]\s,]+)", re.MULTILINE)
_IMAGE = re.compile(r"avatar-relay/[a-z]+:(?:\$\{\w+:-)?(?P<tag>[\w.+-]+)")


class Declared(NamedTuple):
    """A version, and the place that declares it."""

    place: str
    version: str


def version_of(root: Path) -> str:
    """The version of the project in this folder, from ``pyproject.toml``."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def declared(root: Path) -> list[Declared]:
    """Every place that declares the version, ``pyproject.toml`` first."""
    return [Declared("pyproject.toml", version_of(root)), *_elsewhere(root)]


def differences(root: Path) -> list[str]:
    """A sentence for each place whose version is not that of ``pyproject.toml``."""
    first, *others = declared(root)
    return [
        f"{place} has the version {version}, and {first.place} has {first.version}"
        for place, version in others
        if version != first.version
    ]


def _elsewhere(root: Path) -> Iterator[Declared]:
    heading = _HEADING.search((root / "CHANGELOG.md").read_text())
    yield Declared("CHANGELOG.md", heading["version"] if heading else "no heading")
    chart = yaml.safe_load((root / CHART / "Chart.yaml").read_text())
    for key in ("version", "appVersion"):
        yield Declared(f"{CHART}/Chart.yaml, {key}", str(chart.get(key)))
    values = yaml.safe_load((root / CHART / "values.yaml").read_text())
    tag = values.get("image", {}).get("tag")
    if tag:  # blank is the chart's appVersion
        yield Declared(f"{CHART}/values.yaml, image.tag", str(tag))
    if (root / COMPOSE).exists():
        for tag in sorted({image["tag"] for image in _IMAGE.finditer((root / COMPOSE).read_text())}):
            yield Declared(f"{COMPOSE}, the tag of an image", tag)
