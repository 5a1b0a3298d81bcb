"""The cluster: what kubectl and helm do in one namespace of it, and what is done to its nodes."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.rigs.tools import environment_of, tool

MADE_HERE = "app.kubernetes.io/managed-by=kube-test"
"""The label of what a step makes outside the namespace."""
_POLL_S = 0.25


class Failed(Exception):
    """Raised when a command ends with another status than 0, or a state is not reached in time."""


class Cluster:
    """One namespace of a cluster, and the cluster's nodes.

    Args:
        namespace: Everything that a run makes is in it; a run begins and ends with its removal.
        log: Every command and its output is appended to this file.
    """

    def __init__(self, namespace: str, log: Path) -> None:
        self.namespace = namespace
        self._log = log
        self._tool = ""
        self._environment: Mapping[str, str] = {}

    def start(self) -> None:
        """Start the cluster where it does not run.

        Raises:
            Failed: The machine lacks the tool.
        """
        docker, self._tool = tool("docker-up") or "", tool("cluster-up") or ""
        if not docker or not self._tool:
            raise Failed("docker-up or cluster-up is missing: RELAY_TOOLS names their folder")
        self._environment = {**environment_of(docker), **environment_of(self._tool)}

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which docker, kubectl and helm find what they need."""
        return self._environment

    def run(self, *command: str, given: str = "", timeout_s: float = 120.0) -> str:
        """Run a command, and return what it printed.

        Raises:
            Failed: It ended with another status than 0, or took too long.
        """
        started = time.monotonic()
        try:
            done = subprocess.run(
                command, input=given, env=self._environment, timeout=timeout_s, check=False,
                capture_output=True, text=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(command)}: not done after {timeout_s:g} s") from error
        with self._log.open("a") as log:
            log.write(
                f"$ {' '.join(command)}  [{done.returncode}, {time.monotonic() - started:.1f} s]\n"
                f"{done.stdout if 'json' not in command else ''}{done.stderr}\n"
            )
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout

    def kubectl(self, *arguments: str, given: str = "", timeout_s: float = 150.0) -> str:
        """Run kubectl in the namespace."""
        return self.run("kubectl", "-n", self.namespace, *arguments, given=given, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = 420.0) -> str:
        """Run helm in the namespace."""
        return self.run("helm", "-n", self.namespace, *arguments, timeout_s=timeout_s)

    def apply(self, manifest: str) -> None:
        """Apply a manifest in the namespace."""
        self.kubectl("apply", "-f", "-", given=manifest)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of one kind, as the API has them."""
        found = self.kubectl("get", kind, "-o", "json", *(["-l", selector] if selector else []))
        return list(json.loads(found)["items"])

    def everything(self) -> set[str]:
        """Every object of the namespace, as ``kind/name``, but for what the cluster writes by itself."""
        listed = self.run("kubectl", "api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        kinds = [kind for kind in listed if not kind.startswith("events") and ".metrics.k8s.io" not in kind]
        return set(self.kubectl("get", ",".join(kinds), "-o", "name", "--ignore-not-found").split())

    def until(self, condition: Callable[[], object], what: str, within_s: float) -> Any:
        """Call ``condition`` until what it returns is true, and return that.

        Raises:
            Failed: It was not in time.
        """
        end = time.monotonic() + within_s
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > end:
                raise Failed(f"not in {within_s:g} s: {what}")
            time.sleep(_POLL_S)

    # --- nodes

    def load(self, images: Sequence[str]) -> None:
        """Copy images of the Docker engine to every node."""
        self.run(self._tool, "--load", *images, timeout_s=600)

    def add_keda(self) -> None:
        """Add KEDA where it does not run."""
        self.run(self._tool, "--keda", timeout_s=1800)

    def part(self, node: str) -> None:
        """Cut a node off from everything."""
        self.run(self._tool, "--exec", "ip", "link", "set", _link(node), "down")

    def join(self, node: str) -> None:
        """End the partition of a node, if there is one."""
        self.run(self._tool, "--exec", "ip", "link", "set", _link(node), "up")

    def kill(self, pod: Mapping[str, Any]) -> None:
        """Kill the process of a pod's container with SIGKILL, as the kernel does when memory runs out."""
        state = Path(self._environment["KUBECONFIG"]).parent
        socket = state / pod["spec"]["nodeName"] / "containerd.sock"
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        self.run("ctr", "-a", str(socket), "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container)

    def nodes(self) -> list[str]:
        """The names of the nodes."""
        return self.run("kubectl", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()

    def ready(self, node: str) -> bool:
        """Whether the control plane counts the node as ready."""
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.run("kubectl", "get", "node", node, "-o", f"jsonpath={path}") == "True"

    # --- the namespace

    def make_namespace(self) -> None:
        """Make the namespace anew: what a run that was killed has left is removed first."""
        self.remove_namespace()
        self.run("kubectl", "create", "namespace", self.namespace)

    def remove_namespace(self) -> None:
        """Remove the namespace and all that is in it, and undo what steps do to nodes and to the API."""
        for node in self.nodes():
            self.join(node)
            self.run("kubectl", "uncordon", node)
        # Before the namespace: none can be removed while an API has nobody who answers.
        self.run("kubectl", "delete", "apiservices", "-l", MADE_HERE)
        self.run("kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", timeout_s=300)
        self._release_volumes()

    def _release_volumes(self) -> None:
        """Make the volumes that the namespace held available again; what they hold stays on them."""
        held = json.loads(self.run("kubectl", "get", "pv", "-o", "json"))["items"]
        for volume in held:
            if volume["spec"].get("claimRef", {}).get("namespace") == self.namespace:
                removal = '[{"op": "remove", "path": "/spec/claimRef"}]'
                name = volume["metadata"]["name"]
                self.run("kubectl", "patch", "pv", name, "--type=json", "-p", removal)


def _link(node: str) -> str:
    return f"veth{node.removeprefix('node')}"
