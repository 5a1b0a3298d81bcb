"""Programs and definitions of kinds that a machine may lack: in PATH, or else built by the tools."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.rigs.need import need
from tests.rigs.tools import tool


def program(name: str) -> str:
    """A program; the test is skipped, or fails in CI, when there is none."""
    return need(shutil.which(name) or _printed("go-part", name), name)


def custom_resources() -> Path:
    """The folder with the definitions of KEDA's and the Prometheus operator's kinds; as ``program``."""
    return Path(need(_printed("crds"), "the definitions of KEDA's and the Prometheus operator's kinds"))


@cache
def go_module(module: str) -> Path:
    """The folder of a Go module; as ``program``."""
    command = [need(shutil.which("go"), "go"), "mod", "download", "-json", module]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    folders = [line.split('"')[3] for line in shown.stdout.splitlines() if '"Dir":' in line]
    return Path(need(folders[0] if folders else None, f"the Go module {module}"))


@cache
def _printed(name: str, *arguments: str) -> str | None:
    path = tool(name)
    if path is None:
        return None
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
