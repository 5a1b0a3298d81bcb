"""The console script: a role comes first, settings are flags, and what cannot be ends with status 2."""

import os
import subprocess
import sys

import pytest

JOBS = [sys.executable, "-m", "relay_jobs"]
SERVE = [sys.executable, "-m", "relay_cli", "serve", "jobs"]


def _run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RELAY_")}
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("arguments", [[], ["owner"], ["--jobs-concurrency", "2"]])
@pytest.mark.parametrize("program", [JOBS, SERVE], ids=["relay-jobs", "serve"])
def test_a_role_comes_first(program: list[str], arguments: list[str]) -> None:
    """Without one nothing starts, and the roles are listed."""
    done = _run([*program, *arguments])
    assert done.returncode == 2
    assert "dispatcher, worker, beat" in done.stderr


def test_help() -> None:
    """Of the program it lists the roles, of a role the settings."""
    assert "dispatcher|worker|beat" in _run([*JOBS, "--help"]).stdout
    done = _run([*JOBS, "worker", "--help"])
    assert done.returncode == 0
    assert "relay-jobs worker" in done.stdout
    assert "--jobs-concurrency" in done.stdout


@pytest.mark.parametrize("role", ["dispatcher", "worker", "beat"])
def test_a_cluster_needs_a_broker(role: str) -> None:
    """Celery cannot use a cluster: the start names the setting."""
    done = _run([*JOBS, role], RELAY_REDIS_URL="redis+cluster://127.0.0.1:1")
    assert done.returncode == 2
    assert "RELAY_JOBS_BROKER_URL is missing" in done.stderr
    assert f"relay-jobs {role}:" in done.stderr
