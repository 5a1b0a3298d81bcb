"""The services that have an image: one list, read by Python and by the shell."""

import subprocess
import tomllib
from pathlib import Path

from scripts.release.services import extras_of

ROOT = Path(__file__).parents[3]


def test_the_shell_reads_the_same_list() -> None:
    """A line that its pattern does not find would be a service that no release builds."""
    refused = subprocess.run([ROOT / "scripts" / "images", "--unknown"], capture_output=True, check=False)

    assert refused.returncode == 2
    assert refused.stderr.decode().rpartition(": ")[2].split() == list(extras_of(ROOT))


def test_the_extras_exist() -> None:
    """Every service has one at least, besides what every process needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    for extras in extras_of(ROOT).values():
        assert extras
        assert set(extras) <= project["optional-dependencies"].keys()
