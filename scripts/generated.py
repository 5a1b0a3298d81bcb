"""Generated files: written into a folder, or compared with what it has. The same command for each kind."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Texts = Mapping[str, str]
"""By file name, the text of each file."""


def run(
    module: str, about: str, folder: Path, generate: Callable[[Path], Texts], *, source: str, owned: str = ""
) -> None:
    """Write or compare. Exits with 1 when a compared file is outdated.

    Args:
        module: The command's module.
        about: Its help.
        folder: The folder, unless the command line names another.
        generate: Makes the files of a folder, whose other files it may read.
        source: What the files are made of, for the message of an outdated one.
        owned: A pattern of the folder's files that are all generated: another one is too many.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--folder", type=Path, default=folder, help="the folder of the files")
    options = parser.parse_args()
    texts = generate(options.folder)
    names = outdated(options.folder, texts, owned)
    if not options.check:
        write(options.folder, texts, owned)
    elif names:
        sys.exit(f"{', '.join(names)}: differ from {source}: run make reference")


def outdated(folder: Path, texts: Texts, owned: str = "") -> list[str]:
    """The names of the files that a folder has too many, does not have, or has with another text."""
    found = {path.name: path.read_text("utf-8") for path in _present(folder, texts, owned)}
    return sorted(name for name in found | dict(texts) if found.get(name) != texts.get(name))


def write(folder: Path, texts: Texts, owned: str = "") -> None:
    """Write the files, and remove those that are too many."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in _present(folder, texts, owned):
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def _present(folder: Path, texts: Texts, owned: str) -> set[Path]:
    present = {path for name in texts if (path := folder / name).is_file()}
    return present | set(folder.glob(owned)) if owned else present
