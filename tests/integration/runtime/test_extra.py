"""Console scripts without their extra: one line that names it."""

import subprocess
import sys

import pytest

WITHOUT = (
    "import sys; missing, module, *sys.argv[1:] = sys.argv[1:]; sys.modules[missing] = None;"
    "import importlib; importlib.import_module(module).main()"
)
"""A program in whose process one package cannot be imported, as where no extra brought it."""


@pytest.mark.parametrize(
    ("module", "package", "extra", "arguments"),
    [
        ("relay_gateway.__main__", "jwt", "gateway", ()),
        ("relay_gateway.__main__", "ulid", "gateway", ("--help",)),
        ("relay_ingest.__main__", "spatius", "ingest", ()),
        ("relay_control.__main__", "aiohttp_cors", "control", ()),
        ("relay_jobs.__main__", "celery", "jobs", ("worker",)),
        ("relay_simulator.__main__", "jwt", "simulator", ()),
        ("relay_cli.script", "typer", "cli", ("doctor",)),
        ("relay_cli.script", "rich", "cli", ()),
        ("relay_cli.script", "spatius", "all", ("demo",)),
        ("relay_cli.script", "jwt", "gateway", ("serve", "gateway")),
    ],
)
def test_an_extra_that_is_not_installed(module: str, package: str, extra: str, arguments: tuple[str]) -> None:
    """No traceback: the package that is missing, the extra, and the command that installs it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, module, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{package} is not installed")
    assert f"pip install 'avatar-relay[{extra}]'" in line


def test_a_module_of_the_relay_that_is_missing() -> None:
    """No extra would help: the error is that of Python."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "relay_gateway.app", "relay_gateway.__main__"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" in done.stderr
