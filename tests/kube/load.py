"""The load: conversations that speak and viewers that watch, from outside, while a step runs."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.kube.cluster import Cluster, Failed

GATEWAY_PORT, CONTROL_PORT = 30080, 30081
"""NodePorts; the same numbers on loopback lead there."""
_STARTED = "viewers receive frames"
_START_S = 60.0
LONGEST_S = 900
"""The load ends by itself after this time, whatever becomes of the run."""
_OUTAGE_S = 180.0
"""The longest outage that viewers and backends have to survive: a node that is lost, twice."""
_END_S = 240.0
"""How long current turns and the comparison may take."""


class Size(NamedTuple):
    """How much is spoken and watched."""

    conversations: int
    viewers: int


USUAL = Size(6, 2)
FEW = Size(1, 2)
MANY = Size(8, 12)
"""What costs gateways several times as much."""


class Verdict(NamedTuple):
    """What the verifier found."""

    whole: bool
    report: Mapping[str, Any]

    def total(self, what: str) -> int:
        """One of its counts."""
        return int(self.report.get(what, 0))

    def milliseconds(self, what: str, percentile: str) -> float | None:
        """One of its times; None if nothing was measured."""
        return (self.report.get(what) or {}).get(percentile)


class Load:
    """The verifier of the command line, as a process outside the cluster.

    Args:
        api_key: A key of control.
        folder: What it prints, and its reports, are there by step.
    """

    def __init__(self, api_key: str, folder: Path) -> None:
        self._key = api_key
        self._folder = folder

    @contextmanager
    def during(self, step: str, cluster: Cluster, size: Size = USUAL) -> Iterator["Running"]:
        """Run the load around a block, which begins when all viewers receive frames.

        Raises:
            Failed: They did not.
        """
        printed, report = self._folder / f"{step}.verifier", self._folder / f"{step}.json"
        report.unlink(missing_ok=True)
        with printed.open("w") as output:
            process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "avatar-relay"), "verify",
                    "--conversations", str(size.conversations), "--viewers", str(size.viewers),
                    "--for", str(LONGEST_S), "--label", step, "--report", str(report), "--no-cut",
                    "--turn-timeout", str(_OUTAGE_S), "--give-up", str(_OUTAGE_S),
                    "--gateway-url", f"ws://127.0.0.1:{GATEWAY_PORT}",
                ],
                env={
                    **cluster.environment,
                    "RELAY_CONTROL_URL": f"http://127.0.0.1:{CONTROL_PORT}",
                    "RELAY_API_KEY": self._key,
                },
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            cluster.until(
                lambda: _STARTED in printed.read_text() or process.poll() is not None,
                "every viewer receives frames", _START_S,
            )  # fmt: skip
            running = Running(process, report)
            running.check()
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


class Running:
    """A load that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", report: Path) -> None:
        self._process = process
        self._report = report

    def check(self) -> None:
        """Raise ``Failed`` if it has ended."""
        if self._process.poll() is not None:
            raise Failed(f"the verifier ended by itself, with status {self._process.returncode}")

    def end(self) -> Verdict:
        """End the load after the current turns, and compare.

        Raises:
            Failed: It had ended before, or could not run.
        """
        self.check()
        self._process.send_signal(signal.SIGINT)
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the verifier did not end in {_END_S:g} s") from error
        if status not in {0, 1}:
            raise Failed(f"the verifier could not run: status {status}")
        return Verdict(status == 0, json.loads(self._report.read_text()))
