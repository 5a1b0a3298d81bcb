"""Containers of a real engine, each as restricted as Kubernetes can make it, by the docker command."""

import json
import os
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tests.rigs.need import need
from tests.rigs.tools import environment_of, tool

ROOT = Path(__file__).parents[2]
START_S = 240.0
"""The longest wait for a container to become healthy."""

TMP = ("--tmpfs", "/tmp")  # noqa: S108  # the one place that a service may write to
RESTRICTED = (
    "--read-only", *TMP, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--memory", "512m", "--pids-limit", "200",
)  # fmt: skip
WITHOUT_SHELL = tuple(
    option
    for shell in ("bash", "dash")
    for option in ("--volume", f"/dev/null:/usr/bin/{shell}:ro")
)  # fmt: skip
"""Options that replace each shell of the image by nothing that can run."""


def docker(*arguments: str, check: bool = True, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a docker command; with ``check``, a failure raises AssertionError with what it printed."""
    done = subprocess.run(
        ["docker", *arguments],  # noqa: S607  # where docker is depends on the machine
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr or done.stdout}"
    return done


@cache
def _engine() -> str | None:
    """The engine that answers, else the one that a tool beside the checkout starts."""
    found, starter = _answer(), tool("docker-up")
    if found is None and starter is not None:
        os.environ.update(environment_of(starter))
        found = _answer()
    return found


def _answer() -> str | None:
    try:
        return docker("info", "--format", "{{.ServerVersion}}", check=False).stdout.strip() or None
    except FileNotFoundError:
        return None


def need_engine() -> str:
    """The version of the engine; without one the test is skipped, or fails in CI."""
    return need(_engine(), "a Docker engine")


def inspect(name: str) -> dict[str, Any]:
    """What the engine knows of a container or an image."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", name).stdout)
    return found[0]


@cache
def version() -> str:
    """The version of the project."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def need_image(service: str) -> str:
    """The image of a service, as ``make images`` builds it; IMAGES_TAG names another tag than the version."""
    need_engine()
    name = f"avatar-relay/{service}:{os.environ.get('IMAGES_TAG') or version()}"
    found = docker("image", "inspect", name, check=False).returncode == 0
    return need(name if found else None, f"the image {name} (make images)")


class Container(NamedTuple):
    """A running container."""

    name: str

    @property
    def state(self) -> dict[str, Any]:
        """The engine's state of it."""
        state: dict[str, Any] = inspect(self.name)["State"]
        return state

    def logs(self) -> str:
        """What it has written."""
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def python(self, source: str) -> str:
        """Run a program by the container's Python; returns what it prints."""
        return docker("exec", self.name, "python", "-c", source).stdout.strip()

    def wait_healthy(self, longest_s: float = START_S) -> None:
        """Wait until its health check passes.

        Raises:
            AssertionError: It has ended, or is not healthy in time; the text has its log.
        """
        until = time.monotonic() + longest_s
        while (state := self.state)["Health"]["Status"] != "healthy":
            if state["Status"] != "running" or time.monotonic() > until:
                checks = [check["Output"] for check in state["Health"]["Log"]]
                raise AssertionError(f"{self.name}: {state['Status']}, checks {checks}\n{self.logs()}")
            time.sleep(0.2)

    def stop(self, grace_s: int) -> int:
        """Send SIGTERM, and SIGKILL after the grace; returns the exit status."""
        docker("stop", "--time", str(grace_s), self.name, timeout_s=grace_s + 60)
        return int(self.state["ExitCode"])


@contextmanager
def running(
    image: str,
    *command: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """A container that is removed at the end."""
    name = f"relay-test-{uuid4().hex[:12]}"
    variables = [f"--env={key}={value}" for key, value in (environment or {}).items()]
    docker("run", "--detach", "--name", name, *options, *variables, image, *command)
    try:
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@contextmanager
def network() -> Iterator[str]:
    """A network of its own; yields its name."""
    name = f"relay-test-{uuid4().hex[:12]}"
    docker("network", "create", name)
    try:
        yield name
    finally:
        docker("network", "rm", name, check=False)
