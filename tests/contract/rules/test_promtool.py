"""Prometheus rules, by Prometheus's own promtool (Debian's package ``prometheus``)."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.rigs import rules
from tests.rigs.need import need

_LONGEST_S = 240
"""A file takes a few seconds, and a busy machine many times that."""

pytestmark = pytest.mark.timeout(_LONGEST_S + 10)


def promtool(*arguments: str | Path) -> None:
    """Run promtool; what it prints is the reason of a failure."""
    binary = need(shutil.which("promtool"), "promtool of Debian's package prometheus")
    done = subprocess.run(
        [binary, *arguments], capture_output=True, text=True, timeout=_LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_right() -> None:
    promtool("check", "rules", *sorted(rules.RULES.glob("*.yaml")))


@pytest.mark.parametrize("path", rules.case_files(), ids=lambda path: path.stem)
def test_every_alert_fires_when_it_must_and_stays_silent_otherwise(path: Path) -> None:
    promtool("test", "rules", path)
