"""Requirements of each image, from ``pyproject.toml``: ``requirements.py PYPROJECT FOLDER``.

Writes ``<service>.txt`` for each service, ``all.txt`` with those of every service, and ``build.txt`` with
what builds the wheel. The files change with the requirements alone, so that the layers of dependencies made
from them stay cached when another part of ``pyproject.toml`` changes.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: list[str]) -> list[str]:
    """The requirements of these extras, and of every process; references between extras are resolved."""
    found = set(project["dependencies"])
    waiting = list(extras)
    while waiting:
        for requirement in project["optional-dependencies"][waiting.pop()]:
            if requirement.startswith(f"{project['name']}["):
                waiting += requirement.partition("[")[2].rstrip("]").split(",")
            else:
                found.add(requirement)
    return sorted(found)


def write(pyproject: Path, folder: Path) -> None:
    """Write the files."""
    declared = tomllib.loads(pyproject.read_text())
    project = declared["project"]
    hook = declared["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    images = declared["tool"]["avatar-relay"]["images"]
    files = {service: requirements(project, extras) for service, extras in images.items()}
    files["all"] = sorted({line for lines in files.values() for line in lines})
    files["build"] = sorted({*declared["build-system"]["requires"], *hook["dependencies"]})
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
