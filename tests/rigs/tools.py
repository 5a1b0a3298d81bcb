"""Tools beside the checkout that start real parts: a Docker engine, a cluster, helm.

``RELAY_TOOLS`` names their folder; without it, it is ``../shared/tools``.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.rigs.imports import ROOT

_START_S = 1800.0
"""A part that is built first takes minutes."""


def tool(name: str) -> str | None:
    """Where the tool is, or None."""
    path = Path(os.environ.get("RELAY_TOOLS") or ROOT.parent / "shared" / "tools") / name
    return str(path) if path.exists() else None


def environment_of(path: str, *, timeout_s: float = _START_S) -> Mapping[str, str]:
    """Run a tool, and return this process's environment with what it exports.

    Raises:
        subprocess.CalledProcessError: The part did not start; what it printed is on standard error.
    """
    script = 'set -e; exports=$("$0"); eval "$exports"; exec env -0'
    done = subprocess.run(
        ["/bin/bash", "-c", script, path], stdout=subprocess.PIPE, timeout=timeout_s, check=True
    )
    pairs = (pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
    return dict(pairs)
