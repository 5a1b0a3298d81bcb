"""The built wheel: complete, tested as installed, and each service starts with its own extra alone."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay_redis.local_server import LocalServer
from relay_streams.job_roles import ROLES

ROOT = Path(__file__).parents[2]
SERVICES = {
    "gateway": ["spatius", "celery", "typer"],
    "ingest": ["celery", "typer", "jwt"],
    "control": ["spatius", "celery", "typer"],
    "jobs": ["spatius", "typer", "jwt"],
    "simulator": ["celery", "typer", "livekit"],
}
"""Each service, and what must not come along with it."""
SETTINGS = {
    "RELAY_TOKEN_SECRET": "t" * 40,
    "RELAY_API_KEYS": f"0123abcd:{'0' * 64}:admin",
    "SPATIUS_API_KEY": "vendor-key",
    "SPATIUS_APP_ID": "app",
    "RELAY_GATEWAY_PORT": "0",
    "RELAY_CONTROL_PORT": "0",
    "RELAY_SIMULATOR_PORT": "0",
}

# Building the environments counts as part of the first test's time.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the tree, as a release would be."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True, capture_output=True, timeout=400,
    )  # fmt: skip
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environments(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Python of a virtual environment per extra, each with the wheel, that extra and nothing else."""
    root = tmp_path_factory.mktemp("environments")

    def make(extra: str) -> Path:
        venv = root / extra
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
        python = venv / "bin" / "python"
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
             "--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt"),
             f"{wheel}[{extra}]"],
            check=True, timeout=800,
        )  # fmt: skip
        return python

    extras = [*SERVICES, "dev"]
    with ThreadPoolExecutor(max_workers=3) as pool:
        return dict(zip(extras, pool.map(make, extras), strict=True))


def test_what_is_in_it(wheel: Path) -> None:
    """Every package with its types, scripts and data; no tests, nothing generic at the top level."""
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if not name.startswith("avatar_relay-")}
    in_tree = {path.name for path in [*ROOT.glob("shared/relay_*"), *ROOT.glob("services/*/relay_*")]}

    assert top == in_tree
    for package in in_tree:
        assert f"{package}/py.typed" in names
    for script in ROOT.glob("shared/relay_streams/scripts/*.lua"):
        assert f"relay_streams/scripts/{script.name}" in names
    assert "relay_cli/data/speech.wav" in names


@pytest.mark.parametrize(
    ("service", "role"),
    [*((service, "") for service in SERVICES if service != "jobs"), *(("jobs", role) for role in ROLES)],
)
def test_a_service_alone(service: str, role: str, environments: dict[str, Path], tmp_path: Path) -> None:
    """With its extra and nothing else it starts, is ready, and ends with status 0."""
    python = environments[service]
    for module in SERVICES[service]:
        found = subprocess.run(
            [str(python), "-c", f"import {module}"], capture_output=True, check=False, cwd=tmp_path
        )
        assert found.returncode == 1, f"{module} came along"

    with LocalServer() as redis:
        process = subprocess.Popen(
            [str(python.parent / f"relay-{service}"), *filter(None, [role])],
            stdout=subprocess.PIPE, cwd=tmp_path,
            env={**os.environ, **SETTINGS, "RELAY_REDIS_URL": redis.url},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] == (f"{service}-{role}" if role else service)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.communicate()


def test_the_wheel_passes_the_tests(environments: dict[str, Path], tmp_path: Path) -> None:
    """Unit and contract tests against what was installed, with the tree out of the way, but for the rules."""
    python = environments["dev"]
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT),
         "--numprocesses", "2", "--ignore", str(ROOT / "tests" / "contract" / "rules"),
         str(ROOT / "tests" / "unit"), str(ROOT / "tests" / "contract")],
        capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # the tree's scripts, which have tests, too
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-3000:]
    origin = subprocess.run(
        [str(python), "-c", "import relay_wire; print(relay_wire.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert str(python.parents[1]) in origin.stdout
