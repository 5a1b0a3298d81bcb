"""Which tests reach what mypyc compiles."""

import tomllib
from functools import cache
from pathlib import Path

from tests.rigs.imports import ROOT, imports

_WHOLE = ("scenarios", "security", "e2e")
"""Kinds whose tests run whole services, or several parts together."""
_MIRRORS = ("unit", "integration")


@cache
def modules() -> frozenset[str]:
    """The modules that are compiled, dotted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    return frozenset(path.removesuffix(".py").replace("/", ".") for path in listed)


@cache
def reaches(path: Path) -> bool:
    """Whether a test file tests a package with compiled modules, imports one, or runs whole services."""
    kind, *folders = path.relative_to(ROOT / "tests").parts[:-1]
    if kind in _WHOLE:
        return True
    packages = {name.partition(".")[0] for name in modules()}
    if kind in _MIRRORS and folders and f"relay_{folders[0]}" in packages:
        return True
    return _imports_one(path)


@cache
def _imports_one(path: Path) -> bool:
    """Imports of modules that tests share are followed."""
    imported = set(imports(path))
    if not modules().isdisjoint(imported):
        return True
    shared = [ROOT / f"{name.replace('.', '/')}.py" for name in imported if name.startswith("tests.")]
    return any(_imports_one(file) for file in shared if file.exists())
