"""The chart's README: a template, with a table of the values from the comments of ``values.yaml``.

A comment that begins with ``# --`` describes the value after it. Its following comment lines belong to it.
"""

import json
import re
from collections.abc import Iterator
from string import Template
from typing import Any, NamedTuple

import yaml
from scripts.reference.markdown import code, prose, table

_DESCRIPTION = re.compile(r"\s*# -- (.+)")
_MORE = re.compile(r"\s*# (.+)")
_KEY = re.compile(r"( *)([A-Za-z0-9_]+):")
_INDENT = 2
_GENERAL = "General"
"""The section of values that belong to no group."""


class Value(NamedTuple):
    """A described value: its path, its default, and what it is."""

    path: tuple[str, ...]
    default: Any
    description: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """The row of the table."""
        shown = json.dumps(self.default, ensure_ascii=False) if self.default not in ("", None) else ""
        return code(".".join(self.path)), code(shown) if shown else "", prose(self.description)


def text(*, template: str, values: str, chart: str) -> str:
    """The README, from its template, and the texts of ``values.yaml`` and ``Chart.yaml``."""
    about = yaml.safe_load(chart)
    sections: dict[str, list[Value]] = {}
    for value in described(values):
        sections.setdefault(value.path[0] if len(value.path) > 1 else _GENERAL, []).append(value)
    return Template(template).substitute(
        description=about["description"],
        kubernetes=about["kubeVersion"].removeprefix(">=").removesuffix(".0-0"),
        values="\n".join(_section(name, rows) for name, rows in sections.items()),
    )


def described(values: str) -> Iterator[Value]:
    """The described values of ``values.yaml``, in its order."""
    defaults = yaml.safe_load(values)
    path: list[str] = []
    description: list[str] = []
    for line in values.splitlines():
        if found := _DESCRIPTION.match(line):
            description = [found[1]]
        elif description and (found := _MORE.match(line)):
            description.append(found[1])
        elif found := _KEY.match(line):
            path = [*path[: len(found[1]) // _INDENT], found[2]]
            if description:
                yield Value(tuple(path), _default(defaults, path), " ".join(description))
            description = []


def _default(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _section(name: str, values: list[Value]) -> str:
    heading = name if name == _GENERAL else code(name)
    return f"### {heading}\n\n" + table(("value", "default", "meaning"), (value.cells for value in values))
