"""Permissions: the lines of the threat model grant what is needed, and jobs alone need more."""

import re

import pytest
from tests.rigs.imports import ROOT

from relay_streams import scripts
from relay_streams.scripts.permissions import needed

PAGE = (ROOT / "docs/design/threat-model.md").read_text("utf-8")
LINES = PAGE[PAGE.index("ACL SETUSER relay on") :].partition("```")[0]
WITH_JOBS = re.search(r"With `RELAY_JOBS` add `([^`]+)`", PAGE)


def granted(lines: str) -> set[str]:
    """The commands that lines of an ACL allow."""
    return {name.upper().replace("|", " ") for name in re.findall(r"\+([a-z|]+)", lines)}


def test_without_jobs() -> None:
    """The lines grant every command, and no process asks for one of jobs."""
    assert set(needed(jobs=False)) <= granted(LINES)
    assert "XADD" in needed(jobs=False)


def test_with_jobs() -> None:
    """The commands that jobs add are those that the page adds."""
    assert WITH_JOBS
    assert set(needed(jobs=True)) - set(needed(jobs=False)) == granted(WITH_JOBS[1])


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_script_is_covered(script) -> None:
    """What any script calls is among the commands with jobs."""
    assert set(scripts.called([script.text])) <= set(needed(jobs=True))
