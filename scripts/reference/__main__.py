"""``python -m scripts.reference`` writes the pages; with ``--check`` it compares them with the tree."""

import argparse
import sys
from pathlib import Path

from scripts.reference import pages


def main() -> None:
    """Write or compare. Exits with 1 when a compared page is outdated."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--folder", type=Path, default=pages.FOLDER, help="the folder of the pages")
    options = parser.parse_args()
    generated = pages.generated()
    if not options.check:
        for name, text in generated.items():
            (options.folder / name).write_text(text, "utf-8")
    elif names := pages.outdated(options.folder, generated):
        sys.exit(f"{', '.join(names)}: not what the code says: run make reference")


if __name__ == "__main__":
    main()
