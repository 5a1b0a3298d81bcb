"""``make release``: builds every artefact of a tag, and refuses to build of anything else.

Exit status: 0 with everything in the folder, 1 when a part could not be built, 2 when the tree is refused.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.release import artefacts
from scripts.release.tree import Tree, refusals
from scripts.release.versions import differences, version_of

ROOT = Path(__file__).parents[2]
KINDS = ("wheels", "compiled", "chart", "sbom", "images")


def main() -> int:
    """Build the release; returns the exit status."""
    options = _options()
    tree, version = Tree(ROOT), version_of(ROOT)
    found = [*refusals(tree, version), *differences(ROOT)]
    for sentence in found:
        _say(sentence)
    if found and not options.dry_run:
        _say("refused: a release is made from a tag whose versions agree (--dry-run builds nevertheless)")
        return 2
    out: Path = options.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        with TemporaryDirectory() as folder:
            tree.export(Path(folder))
            _make(Path(folder), out, version, tree.committed_at(), options)
    except (subprocess.CalledProcessError, OSError) as error:
        _say(f"failed: {error}")
        return 1
    sums = artefacts.checksums(out)
    print(sums.read_text(), end="")
    _say(f"version {version} is in {out}" + (": a dry run, not a release" if found else ""))
    return 0


def _make(source: Path, out: Path, version: str, epoch: int, options: argparse.Namespace) -> None:
    steps: dict[str, Callable[[], None]] = {
        "wheels": lambda: artefacts.sdist_and_wheel(source, out, epoch),
        "compiled": lambda: artefacts.compiled_wheel(source, out, epoch),
        "chart": lambda: artefacts.chart(source, out, epoch, options.helm),
        "sbom": lambda: artefacts.sbom(source, out, version),
        "images": lambda: artefacts.images(ROOT, out, version),
    }
    for kind in KINDS:
        if kind in options.only:
            started = time.monotonic()
            _say(f"building: {kind}")
            steps[kind]()
            _say(f"built: {kind}, in {time.monotonic() - started:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make release ARGS=...", description="Build a release from its tag."
    )
    parser.add_argument("--dry-run", action="store_true", help="build also from a tree that is refused")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist" / "release", help="the folder; it is emptied"
    )
    parser.add_argument("--helm", default="helm", help="the helm program")
    parser.add_argument(
        "--only", default=",".join(KINDS), type=lambda text: text.split(","),
        help=f"kinds, commas between them: {', '.join(KINDS)}; sbom needs wheels",
    )  # fmt: skip
    options = parser.parse_args()
    unknown = set(options.only) - set(KINDS)
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return options


def _say(text: str) -> None:
    print(f"release: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
