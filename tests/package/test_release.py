"""Releases: two builds of the same commit have the same bytes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts.release import artefacts
from scripts.release.tree import Tree
from tests.rigs.need import need
from tests.rigs.tools import tool

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def helm() -> str:
    """The helm in PATH, or the one of the tools beside the checkout."""
    found = shutil.which("helm")
    part = tool("go-part")
    if found is None and part is not None:
        done = subprocess.run([part, "helm"], capture_output=True, text=True, timeout=500, check=False)
        found = done.stdout.strip() or None
    return need(found, "helm")


def built(folder: Path, helm: str) -> dict[str, str]:
    """The digests of what is quick to build, from an export of the commit."""
    source, out = folder / "source", folder / "out"
    out.mkdir(parents=True)
    tree = Tree(ROOT)
    tree.export(source)
    artefacts.sdist_and_wheel(source, out, tree.committed_at())
    artefacts.chart(source, out, tree.committed_at(), helm)
    return {path.name: artefacts.digest(path) for path in out.iterdir()}


def test_two_builds_are_the_same(tmp_path: Path, helm: str) -> None:
    """Source distribution, pure wheel and chart package have the same digests, built in two folders."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False).returncode:  # noqa: S607
        pytest.skip("a release is built from a commit, and this tree is no repository that git reads")
    umask = os.umask(0o077)
    try:
        first = built(tmp_path / "first", helm)
    finally:
        os.umask(umask)
    assert len(first) == 3
    assert built(tmp_path / "elsewhere" / "second", helm) == first
