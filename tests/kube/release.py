"""The release: the chart installed in the cluster, with a Redis of its own beside it."""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.kube.cluster import Cluster
from tests.kube.images import Builds
from tests.kube.load import Load
from tests.rigs.imports import ROOT

from relay_auth.api_keys import Scope, new_key

NAME = "relay"
CHART = ROOT / "helm" / "avatar-relay"
_HERE = Path(__file__).parent
VALUES = _HERE / "values.yaml"
_REDIS = _HERE / "redis.yaml"
_ROLLED_S = 300.0
"""How long a component may take to reach its state: pulls, drains and probes included."""


class Release:
    """The release ``relay``.

    Args:
        cluster: Where it is installed.
        builds: The two builds of the images.
        logs: The folder for what the load and programs of steps print.
    """

    def __init__(self, cluster: Cluster, builds: Builds, logs: Path) -> None:
        self.cluster = cluster
        self.builds = builds
        self.logs = logs
        api_key, known = new_key([Scope.ADMIN])
        self._secret = {
            "RELAY_API_KEY": api_key,
            "RELAY_API_KEYS": str(known),
            "RELAY_TOKEN_SECRET": secrets.token_urlsafe(32),
            "SPATIUS_API_KEY": "simulated-key",
        }
        self.load = Load(api_key, logs)
        self.before: set[str] = set()
        """What was in the namespace before the chart was installed."""

    def prepare(self) -> None:
        """Make the namespace, the secret and an empty Redis with persistence."""
        self.cluster.make_namespace()
        manifest = {
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "relay-keys"}, "stringData": self._secret,
        }  # fmt: skip
        self.cluster.apply(json.dumps(manifest))
        self.cluster.apply(_REDIS.read_text().replace("REDIS_IMAGE", self.builds.redis))
        self.cluster.kubectl("rollout", "status", "statefulset/redis", "--timeout=120s")
        self.cluster.kubectl("exec", "redis-0", "--", "redis-cli", "FLUSHALL")
        self.before = self.cluster.everything()

    # --- what helm does

    def upgrade(self, build: str, *settings: str) -> None:
        """Install the release or upgrade it, and wait until it is ready."""
        self.cluster.helm(
            "upgrade", "--install", NAME, str(CHART), "--values", str(VALUES), "--wait", "--timeout", "6m",
            *self._set("image.tag", build), *(part for one in settings for part in ("--set", one)),
        )  # fmt: skip
        self.settle()

    def rollback(self, revision: int) -> None:
        """Return to an earlier revision, and wait until it is ready."""
        self.cluster.helm("rollback", NAME, str(revision), "--wait", "--timeout", "6m")
        self.settle()

    def test(self) -> str:
        """Run ``helm test``, and return what its pods printed."""
        return self.cluster.helm("test", NAME, "--logs", "--timeout", "3m")

    def uninstall(self) -> None:
        """Remove the release."""
        self.cluster.helm("uninstall", NAME, "--wait", "--timeout", "4m")

    # --- its pods

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """The pods of one component, or of all but the test; those that end, too."""
        which = f"={component}" if component else "!=test"
        selector = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component{which}"
        return self.cluster.objects("pods", selector)

    def settle(self) -> None:
        """Wait until every Deployment has its pods, and no other pod is left."""
        for one in self.cluster.kubectl("get", "deployments", "-o", "name").split():
            self.cluster.kubectl(
                "rollout", "status", one, f"--timeout={_ROLLED_S:g}s", timeout_s=_ROLLED_S + 10
            )
        self.cluster.until(self._settled, "every pod is ready, and none is ending", _ROLLED_S)

    def replicas(self, component: str) -> int:
        """The pods of a component that are ready."""
        return sum(map(is_ready, self.pods(component)))

    def images(self) -> set[str]:
        """The tags that run."""
        return {
            container["image"].rpartition(":")[2]
            for pod in self.pods()
            for container in pod["spec"]["containers"]
        }

    def pod_on(self, component: str, node: str) -> dict[str, Any]:
        """A pod of a component on a node."""
        return next(pod for pod in self.pods(component) if pod["spec"]["nodeName"] == node)

    def collect(self, folder: Path) -> None:
        """Write the logs of every pod, and what Kubernetes says of them, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for pod in self.cluster.objects("pods"):
            name = pod["metadata"]["name"]
            (folder / f"{name}.log").write_text(
                self.cluster.kubectl("logs", name, "--all-containers", "--tail=-1")
            )
        for kind in ("pods", "events"):
            (folder / kind).write_text(self.cluster.kubectl("get", kind, "-o", "wide"))
        (folder / "described").write_text(self.cluster.kubectl("describe", "pods"))

    def _settled(self) -> bool:
        pods = self.pods()
        return bool(pods) and all(map(is_ready, pods))

    def _set(self, key: str, value: str) -> Iterable[str]:
        return "--set-string", f"{key}={value}"


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod is ready and not ending."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: dict[str, Any]) -> int:
    """How often its container was started again."""
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
