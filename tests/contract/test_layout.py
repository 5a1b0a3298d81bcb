"""The layout of the tests: whoever changes a package finds what tests it."""

import pytest
from tests.rigs.imports import ROOT

PACKAGES = {
    path.name.removeprefix("relay_")
    for path in [*ROOT.glob("shared/relay_*"), *ROOT.glob("services/*/relay_*")]
}
SCRIPTS = {"scripts"}
"""Not a package of the wheel, but mirrored like one."""
READS_SOURCES = {"test_hot_path.py"}
"""Reads the sources of several packages, so that it belongs to none."""


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_tests_are_in_the_folder_of_their_package(kind: str) -> None:
    """A suite that belongs to no package is a scenario."""
    there = {path.name for path in (ROOT / "tests" / kind).iterdir() if not path.name.startswith("__")}

    assert there <= PACKAGES | SCRIPTS | READS_SOURCES
