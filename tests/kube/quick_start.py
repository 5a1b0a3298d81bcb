"""The quick start of ``docs/operations/kubernetes.md``, as it is written, in a namespace of its own."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kube.cluster import Cluster
from tests.kube.release import Release
from tests.rigs.documented import shell_script
from tests.rigs.imports import ROOT

_NAMESPACE = "relay-quick-start"
_WITHIN_S = 540.0


def run_quick_start(release: Release) -> str:
    """Run every command of the page in one shell; the first that fails ends it."""
    cluster = release.cluster
    commands = shell_script("docs/operations/kubernetes.md", "## Quick start")
    script = f"cd '{ROOT}'\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{cluster.environment['PATH']}"
    with _namespace(cluster) as config:
        # The port-forward holds the shell's output open: at a time-out the whole group of processes ends.
        cluster.run(
            "env", f"PATH={path}", f"KUBECONFIG={config}",
            "timeout", f"{_WITHIN_S:g}", "bash", "-c", script, timeout_s=_WITHIN_S + 30,
        )  # fmt: skip
    return f"{commands.count(chr(10))} lines of the page, every command with status 0"


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[Path]:
    """A namespace, and a configuration of kubectl in which it is the default; removed with all of it."""
    remove = ("kubectl", "delete", "namespace", _NAMESPACE, "--ignore-not-found")
    cluster.run(*remove, timeout_s=300)
    cluster.run("kubectl", "create", "namespace", _NAMESPACE)
    with TemporaryDirectory() as folder:
        config = Path(shutil.copy(cluster.environment["KUBECONFIG"], folder))
        cluster.run(
            "kubectl",
            f"--kubeconfig={config}",
            "config",
            "set-context",
            "--current",
            f"--namespace={_NAMESPACE}",
        )
        try:
            yield config
        finally:
            cluster.run(*remove, timeout_s=300)
