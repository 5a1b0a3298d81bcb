"""``python -m scripts.dashboards`` writes the dashboards; with ``--check`` it compares them with the tree."""

import argparse
import sys
from pathlib import Path

from scripts.dashboards import files, saved


def main() -> None:
    """Write or compare. Exits with 1 when a compared dashboard is outdated."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--folder", type=Path, default=saved.FOLDER, help="the folder of the dashboards")
    options = parser.parse_args()
    if options.check:
        if names := files.outdated(options.folder):
            sys.exit(f"{', '.join(names)}: not what the code says: run make reference")
        return
    for path in options.folder.glob("*.json"):
        path.unlink()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.generated().items():
        (options.folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
