"""``python -m scripts.chart`` writes the generated files of the chart; with ``--check`` it compares them."""

import argparse
import sys
from pathlib import Path

from scripts.chart import files


def main() -> None:
    """Write or compare. Exits with 1 when a compared file is outdated."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--folder", type=Path, default=files.FOLDER, help="the folder of the chart")
    options = parser.parse_args()
    generated = files.generated(options.folder)
    if not options.check:
        for name, text in generated.items():
            (options.folder / name).write_text(text, "utf-8")
    elif names := files.outdated(options.folder, generated):
        sys.exit(f"{', '.join(names)}: not what the chart's values and the settings say: run make reference")


if __name__ == "__main__":
    main()
