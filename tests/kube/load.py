"""The load: conversations that speak and viewers that watch, from outside, while a step runs."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.kube.cluster import Cluster, Failed

GATEWAY_PORT, CONTROL_PORT = 30080, 30081
"""NodePorts; the same numbers on loopback lead there."""
CONVERSATIONS, VIEWERS = 6, 2
LONGEST_S = 900
"""The load ends by itself after this time, whatever becomes of the run."""
_OUTAGE_S = 180.0
"""The longest outage that viewers and backends have to survive: a node that is lost, twice."""
_END_S = 240.0
"""How long current turns and the comparison may take."""


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
    """The verifier of the command line, as a process outside the cluster."""

    def __init__(self, api_key: str, log: Path, *, conversations: int = CONVERSATIONS) -> None:
        self._key = api_key
        self._log = log
        self._conversations = conversations

    @contextmanager
    def during(self, step: str, cluster: Cluster) -> Iterator["Running"]:
        """Run the load around a block; it is ended when the block ends."""
        with tempfile.TemporaryDirectory() as folder, self._log.open("a") as log:
            log.write(f"--- {step}\n")
            log.flush()
            report = Path(folder) / "report.json"
            process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "avatar-relay"), "verify",
                    "--conversations", str(self._conversations), "--viewers", str(VIEWERS),
                    "--for", str(LONGEST_S), "--label", step, "--report", str(report), "--no-cut",
                    "--turn-timeout", str(_OUTAGE_S), "--give-up", str(_OUTAGE_S),
                    "--gateway-url", f"ws://127.0.0.1:{GATEWAY_PORT}",
                ],
                env={
                    **cluster.environment,
                    "RELAY_CONTROL_URL": f"http://127.0.0.1:{CONTROL_PORT}",
                    "RELAY_API_KEY": self._key,
                },
                stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield Running(process, report)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()


class Running:
    """A load that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", report: Path) -> None:
        self._process = process
        self._report = report

    def end(self) -> Verdict:
        """End the load after the current turns, and compare.

        Raises:
            Failed: It had ended before, or could not run.
        """
        if self._process.poll() is not None:
            raise Failed(f"the verifier ended by itself, with status {self._process.returncode}")
        self._process.send_signal(signal.SIGINT)
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the verifier did not end in {_END_S:g} s") from error
        if status not in {0, 1}:
            raise Failed(f"the verifier could not run: status {status}")
        return Verdict(status == 0, json.loads(self._report.read_text()))
