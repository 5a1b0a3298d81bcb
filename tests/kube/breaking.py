"""Steps that take something away: nodes, pods, Redis, the network."""

import time
from typing import Any

from tests.kube.cluster import Cluster, Failed
from tests.kube.release import Release, is_ready, restarts

SPARED, TAKEN = "node1", "node2"
"""Redis and the way in are on the first node; steps take the second."""
_PARTED_S = 60.0


def spread(release: Release) -> str:
    """Start every component again, so that both nodes have a pod of each."""
    for one in release.cluster.kubectl("get", "deployments", "-o", "name").split():
        release.cluster.kubectl("rollout", "restart", one)
    release.settle()
    for component in ("gateway", "ingest", "control"):
        nodes = {pod["spec"]["nodeName"] for pod in release.pods(component)}
        if nodes != {SPARED, TAKEN}:
            raise Failed(f"{component} runs on {nodes} alone")
    return ""


def drain(release: Release) -> str:
    """Drain a node against the budgets, and give it back."""
    moved = [pod for pod in release.pods() if pod["spec"]["nodeName"] == TAKEN]
    cluster = release.cluster
    cluster.run(
        "kubectl", "drain", TAKEN, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s",
        timeout_s=310,
    )  # fmt: skip
    release.settle()
    left = [pod["metadata"]["name"] for pod in release.pods() if pod["spec"]["nodeName"] == TAKEN]
    cluster.run("kubectl", "uncordon", TAKEN)
    if left:
        raise Failed(f"still on {TAKEN}: {left}")
    return f"{len(moved)} pods moved"


def delete_gateway(release: Release) -> str:
    """Delete a gateway's pod without a grace period."""
    name = release.pods("gateway")[0]["metadata"]["name"]
    release.cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force")
    release.settle()
    return f"{release.replicas('gateway')} gateways are ready"


def kill_ingest(release: Release) -> str:
    """Kill every ingest worker with SIGKILL, one after the other, twice: in turns and between them."""
    names = [pod["metadata"]["name"] for pod in release.pods("ingest")] * 2
    for name in names:
        _killed(release, name)
    return f"{len(names)} kills; each time the container was started again"


def kill_gateway(release: Release) -> str:
    """Kill a gateway with SIGKILL."""
    pod = release.pods("gateway")[0]
    return _killed(release, pod["metadata"]["name"])


def restart_redis(release: Release) -> str:
    """Delete the pod of Redis; its volume stays."""
    cluster = release.cluster
    before = _redis(cluster)["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "redis-0")
    cluster.until(
        lambda: _redis(cluster)["metadata"]["uid"] != before and is_ready(_redis(cluster)),
        "Redis has a new pod, which is ready",
        within_s=90,
    )
    release.settle()
    return "a new pod on the same volume"


def part_node(release: Release) -> str:
    """Cut a node off for a minute, longer than the control plane waits for it."""
    cluster = release.cluster
    started = time.monotonic()
    cluster.part(TAKEN)
    try:
        cluster.until(lambda: not cluster.ready(TAKEN), f"{TAKEN} is not ready", within_s=90)
        noticed = time.monotonic() - started
        cluster.until(lambda: _absent(release), "no Service has an endpoint there", within_s=60)
        cluster.until(
            lambda: time.monotonic() > started + _PARTED_S, "the minute is over", within_s=_PARTED_S
        )
    finally:
        cluster.join(TAKEN)
    cluster.until(lambda: cluster.ready(TAKEN), f"{TAKEN} is ready", within_s=120)
    release.settle()
    return f"Kubernetes counted the node as lost after {noticed:.0f} s"


def _absent(release: Release) -> bool:
    lost = {pod["metadata"]["name"] for pod in release.pods() if pod["spec"]["nodeName"] == TAKEN}
    endpoints = [one for each in release.cluster.objects("endpointslices") for one in each["endpoints"] or []]
    return not any(
        one["conditions"].get("ready") and one.get("targetRef", {}).get("name") in lost for one in endpoints
    )


def _killed(release: Release, name: str) -> str:
    cluster = release.cluster

    def current() -> dict[str, Any]:
        return next(pod for pod in cluster.objects("pods") if pod["metadata"]["name"] == name)

    before = restarts(current())
    cluster.kill(current())
    cluster.until(lambda: restarts(current()) > before, f"{name} was started again", within_s=60)
    release.settle()
    return "its container was started again"


def _redis(cluster: Cluster) -> dict[str, Any]:
    nobody: dict[str, Any] = {"metadata": {"uid": "", "deletionTimestamp": ""}, "status": {}}
    return next(iter(cluster.objects("pods", "app=redis")), nobody)
