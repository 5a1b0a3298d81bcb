"""``avatar-relay verify``, from outside of the containers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.compose.engine import PORTS, SECRETS
from tests.rigs.imports import ROOT

_CONTROL = f"http://127.0.0.1:{PORTS['CONTROL_PORT']}"
_SIMULATOR = f"http://127.0.0.1:{PORTS['SIMULATOR_PORT']}"


class Verifier:
    """A verification that runs.

    Args:
        arguments: Options of the command.
        checkout: The checkout whose relay runs, which has the key.
        environment: Further variables.
    """

    def __init__(self, *arguments: str, checkout: Path = ROOT, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relay_cli", "verify", "--json", "--simulator", _SIMULATOR, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={
                **os.environ, "RELAY_CONTROL_URL": _CONTROL,
                "RELAY_API_KEY": (checkout / SECRETS / "RELAY_API_KEY").read_text("utf-8"), **environment,
            },
        )  # fmt: skip

    def wait_for_frames(self) -> None:
        """Wait for its line on the first frames."""
        for line in self._process.stderr:
            if "receive frames" in line:
                return
        raise AssertionError("the verifier has ended before its first frames")

    def stop(self) -> None:
        """Ask it to end with whole turns."""
        self._process.send_signal(signal.SIGINT)

    def report(self) -> dict[str, Any]:
        """Its report, which must be whole."""
        stdout, stderr = self._process.communicate(timeout=600)
        assert self._process.returncode == 0, f"{stderr}\n{stdout}"
        report: dict[str, Any] = json.loads(stdout)
        assert (report["lost"], report["repeated"], report["reordered"]) == (0, 0, 0)
        assert (report["gaps"], report["final_closes"]) == (0, 0)
        return report
