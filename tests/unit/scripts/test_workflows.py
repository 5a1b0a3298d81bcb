"""Workflows of the host: they parse, and call what the project has."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.rigs import redis_server

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z-]+)")
_SCRIPT = re.compile(r"(?:scripts|\.ci)/[\w.-]+")

pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]


def test_commands_exist(path: Path) -> None:
    """Each target of make and each script that a step runs is there."""
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    commands = [step["run"] for step in steps(path) if "run" in step]
    called = {target for command in commands for target in _MAKE.findall(command)}
    assert called
    assert called <= targets
    for script in (script for command in commands for script in _SCRIPT.findall(command)):
        assert (ROOT / script).exists()


def test_commands_name_the_folders_that_they_test(path: Path) -> None:
    """pytest collects a folder of ``testpaths`` although ``--ignore`` names it."""
    for script in (path, ROOT / ".ci" / "run", ROOT / "scripts" / "coverage"):
        assert "--ignore" not in script.read_text()


def test_no_expression_is_in_a_command(path: Path) -> None:
    """Values of the host reach a shell as variables, so that none of them is read as a command."""
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


def test_rights_and_limits(path: Path) -> None:
    """Nothing is allowed but what a job names, each job ends, and an action is a commit, not a name."""
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for job in jobs(path).values():
        assert job["timeout-minutes"] <= 60
        assert set(job["permissions"].values()) <= {"read"}
        assert job["runs-on"] != "ubuntu-latest"
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_jobs_that_are_needed_exist(path: Path) -> None:
    """A job waits for jobs of this file alone."""
    for job in jobs(path).values():
        assert set(job.get("needs", [])) <= jobs(path).keys()


def test_the_matrix(path: Path) -> None:
    """Every Python that the project declares, and servers that the tests have."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    for job in jobs(path).values():
        matrix = job.get("strategy", {}).get("matrix", {})
        if matrix:
            assert f">={matrix['python'][0]}" == oldest
            assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
        for server in matrix.get("server", []):
            assert server in redis_server.NAMES
