"""``make reference``, as ``make check`` runs it."""

import shutil
import subprocess
import sys

from scripts.reference.pages import FOLDER


def test_the_check_names_the_pages_that_differ_and_no_other(tmp_path) -> None:
    """Every service is loaded by a process of its own. Here all other pages are as in the tree."""
    for name in ("metrics.md", "redis-keys.md"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "configuration.md").write_text("# Configuration\n", "utf-8")

    result = subprocess.run(
        [sys.executable, "-m", "scripts.reference", "--check", "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr == "configuration.md: differ from the sources: run make reference\n"
    assert (tmp_path / "configuration.md").read_text("utf-8") == "# Configuration\n"
