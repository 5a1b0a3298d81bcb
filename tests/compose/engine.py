"""A Docker engine with compose, and the images that docker-compose.yml names."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from scripts.release.services import extras_of
from tests.rigs.imports import ROOT
from tests.rigs.need import need

PROJECT = "relay-compose-test"
SECRETS = Path("deploy/compose/secrets")
"""What scripts/compose-secrets writes, in a checkout."""
STAND_INS = {"NGINX_IMAGE": "nginx-light", "PROMETHEUS_IMAGE": "prometheus"}
"""Images that are replaced by a package of the distribution where they cannot be pulled."""
LEFT_OUT = {"grafana": "GRAFANA_IMAGE", "jaeger": "JAEGER_IMAGE"}
"""Services that are tested only where the variable names an image."""
PORTS = {
    "GATEWAY_PORT": "28180",
    "CONTROL_PORT": "28181",
    "SIMULATOR_PORT": "28182",
    "PROMETHEUS_PORT": "28191",
    "TLS_PORT": "28143",
    "LOCUST_PORT": "28189",
    "JAEGER_PORT": "28186",
    "GRAFANA_PORT": "28130",
}
_TIMEOUT_S = 1500


class Engine:
    """Runs docker and docker compose with the settings of the tests.

    Args:
        variables: Variables of docker-compose.yml.
        checkout: The folder that has docker-compose.yml.
    """

    def __init__(self, variables: dict[str, str], checkout: Path = ROOT) -> None:
        self._variables = {**PORTS, **variables, "COMPOSE_PROJECT_NAME": PROJECT}
        self._checkout = checkout

    def shell(self, script: str) -> str:
        """Run a shell's script in the checkout, and return what it prints; the first failure ends it."""
        done = self._run("sh", "-euc", script)
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stderr[-4000:]}{done.stdout[-2000:]}")
        return done.stdout + done.stderr

    def docker(self, *arguments: str, check: bool = True) -> str:
        """Run a command of docker, and return what it prints."""
        done = self._run("docker", *arguments)
        if check and done.returncode:
            text = f"{done.stderr[-2000:]}{done.stdout[-1000:]}"
            raise RuntimeError(f"docker {' '.join(arguments[:6])}: {text}")
        return done.stdout

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run a command of docker compose, and return what it prints."""
        return self.docker("compose", *arguments, check=check)

    def configuration(self) -> dict[str, Any]:
        """The whole configuration, as compose resolves it."""
        read: dict[str, Any] = json.loads(self.compose("--profile", "*", "config", "--format", "json"))
        return read

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def health(self, container: str) -> str:
        """``healthy``, ``starting`` or ``unhealthy``."""
        return self.docker("inspect", "--format", "{{.State.Health.Status}}", container).strip()

    def images(self) -> dict[str, str]:
        """By name of an image of the relay and of its command line, the id; empty where it is missing."""
        names = sorted(set(self.compose("--profile", "tools", "config", "--images").split()))
        identity = ("image", "inspect", "--format", "{{.Id}}")
        return {name: self.docker(*identity, name, check=False).strip() for name in names}

    def remains(self) -> list[str]:
        """The ids of what the project has: containers, networks, volumes."""
        label = f"label=com.docker.compose.project={PROJECT}"
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [one for kind in kinds for one in self.docker(*kind, "--quiet", "--filter", label).split()]

    def state(self) -> str:
        """Every container, and the end of its log."""
        profiles = ("--profile", "*")
        containers = self.compose(*profiles, "ps", "--all", check=False)
        return containers + self.compose(*profiles, "logs", "--tail", "20", "--no-color", check=False)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run(program, *arguments, cwd=self._checkout, **self._variables)


def need_compose() -> None:
    """Skip the test, or fail it in CI, when there is no docker, no engine or no compose."""
    need(shutil.which("docker"), "docker")
    for arguments in (["info"], ["compose", "version"]):
        name = f"docker {' '.join(arguments)}"
        need(None if _run("docker", *arguments).returncode else name, name)


def prepared(*, checkout: Path = ROOT, **variables: str) -> Engine:
    """An engine that has every image: those of the relay are built where they are missing.

    Args:
        checkout: The folder that has docker-compose.yml. This checkout gets its secrets here.
        variables: Further variables of docker-compose.yml.
    """
    need_compose()
    tag = os.environ.get("RELAY_TAG") or _version()
    if not all(_has(f"avatar-relay/{service}:{tag}") for service in extras_of(ROOT)):
        _must("scripts/images", "--tag", tag)
    variables |= {
        "RELAY_TAG": tag,
        "RELAY_HEALTH_TIMEOUT": "120s",
        "RELAY_JOBS_STALLED_S": "120",
        "RELAY_NOFILE": os.environ.get("RELAY_NOFILE") or _open_files(tag),
    }
    for name, package in STAND_INS.items():
        variables[name] = os.environ.get(name) or f"relay-compose-test-{package}"
        if not _has(variables[name]):
            argument = f"PACKAGE={package}"
            _must("docker", "build", "--tag", variables[name], "--build-arg", argument, "tests/compose")
    if checkout == ROOT:
        _must("scripts/compose-secrets")
    return Engine(variables, checkout)


def _run(
    program: str, *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True,
        timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip


def _must(program: str, *arguments: str) -> None:
    done = _run(program, *arguments)
    assert not done.returncode, f"{program}: {done.stderr[-3000:]}"


def _has(image: str) -> bool:
    return not _run("docker", "image", "inspect", image).returncode


def _version() -> str:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return next(line.split('"')[1] for line in text.splitlines() if line.startswith("version = "))


def _open_files(tag: str) -> str:
    """The engine's own limit: without the right to raise limits, no container can have a higher one."""
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[1])"
    image = f"avatar-relay/cli:{tag}"
    limit = _run("docker", "run", "--rm", "--entrypoint", "python", image, "-c", code).stdout.strip()
    return str(min(int(limit), 65536)) if limit.isdigit() else "65536"
