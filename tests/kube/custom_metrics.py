"""Custom metrics: a Prometheus that scrapes the release, and the adapter that serves its series.

Both are processes on the network of a node, as pods with the host's network are. What an operator
configures, the job of scrapes and the rule of the adapter, is read from the documentation.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.kube.cluster import MADE_HERE, Cluster, Failed
from tests.kube.release import Release
from tests.rigs.documented import blocks
from tests.rigs.tools import tool

METRIC = "relay_gateway_viewers"
PAGE, SECTION = "docs/operations/kubernetes.md", "### Autoscaling"
_MODULE = "sigs.k8s.io/prometheus-adapter@v0.12.0"
_BUILD_S = 1800.0
_NODE = "node1"
_PROMETHEUS_PORT, _ADAPTER_PORT = 9090, 6445
_SCRAPE_S = 5
_DISCOVERY_S = 2.0
_SERVED_S = 90.0
_STOP_S = 10.0


class Missing(Failed):
    """Raised when the machine lacks a program that is needed."""


class CustomMetrics:
    """What custom.metrics.k8s.io answers for the gateways of a release."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def viewers(self) -> dict[str, int]:
        """The viewers of each gateway, by the names of pods; empty while the API serves none."""
        path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{self._cluster.namespace}/pods/*/{METRIC}"
        selector = "labelSelector=app.kubernetes.io%2Fcomponent%3Dgateway"
        try:
            found = json.loads(self._cluster.run("kubectl", "get", "--raw", f"{path}?{selector}"))
        except Failed:
            return {}
        return {item["describedObject"]["name"]: int(item["value"]) for item in found["items"]}


@contextmanager
def custom_metrics(release: Release) -> Iterator[CustomMetrics]:
    """Serve the viewers of gateways to autoscalers around a block, which begins when all have a value.

    Raises:
        Missing: The machine lacks a program.
        Failed: They had none in time.
    """
    cluster = release.cluster
    adapter, prometheus = _adapter(cluster), _prometheus()
    address, kubeconfig = _address_of(cluster, _NODE), str(_inside(cluster))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="custom-metrics-")))
        _write_configuration(folder)
        stack.enter_context(_discovery(cluster, folder / "pods.json"))
        server = f"{address}:{_PROMETHEUS_PORT}"
        stack.enter_context(_running(
            cluster, release.logs / "prometheus.log", prometheus,
            f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address={server}",
        ))  # fmt: skip
        stack.enter_context(_running(
            cluster, release.logs / "prometheus-adapter.log", adapter,
            f"--config={folder / 'adapter.json'}", f"--prometheus-url=http://{server}",
            f"--metrics-relist-interval={2 * _SCRAPE_S}s", f"--lister-kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={address}", f"--secure-port={_ADAPTER_PORT}",
            f"--cert-dir={folder / 'certificates'}",
        ))  # fmt: skip
        stack.enter_context(_registered(cluster, address))
        metrics = CustomMetrics(cluster)
        cluster.until(
            lambda: len(metrics.viewers()) == len(release.pods("gateway")),
            f"custom.metrics.k8s.io has {METRIC} of every gateway", _SERVED_S,
        )  # fmt: skip
        yield metrics


# --- programs


def _prometheus() -> str:
    found = shutil.which("prometheus")
    if found is None:
        raise Missing("prometheus is missing")
    return found


def _adapter(cluster: Cluster) -> str:
    """The adapter, built where it is missing."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("RELAY_PARTS") or Path(cache) / "relay-parts") / "bin"
    program = folder / "prometheus-adapter"
    if not program.exists():
        _build(cluster, program)
    return str(program)


def _build(cluster: Cluster, program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Missing("the adapter of Prometheus is missing, and Go to build it")
    program.parent.mkdir(parents=True, exist_ok=True)
    built = program.with_suffix(".new")
    downloaded = json.loads(cluster.run(go, "mod", "download", "-json", _MODULE, timeout_s=_BUILD_S))
    cluster.run(
        "nice", go, "build", "-C", downloaded["Dir"], "-ldflags=-s -w", "-o", str(built), "./cmd/adapter",
        timeout_s=_BUILD_S,
    )  # fmt: skip
    built.replace(program)


@contextmanager
def _running(cluster: Cluster, log: Path, *command: str) -> Iterator[None]:
    """Run a program on the node's network around a block; it ends with this process, too."""
    ends_with_parent = ["setpriv", "--pdeathsig", "TERM"]
    on_node = [tool("cluster-up") or "", "--node", _NODE.removeprefix("node"), *command]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*ends_with_parent, *on_node], env=cluster.environment, stdout=output, stderr=output
        )
    try:
        yield
        if process.poll() is not None:
            raise Failed(f"{command[0]} ended by itself, with status {process.returncode}: {log}")
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- configuration


def _write_configuration(folder: Path) -> None:
    """Write what both programs read; JSON is YAML.

    The values of the adapter's chart become its configuration as that chart makes it of them. Discovery
    alone differs: a file has what discovery in Kubernetes finds, since the distribution's Prometheus is
    built without it.
    """
    documented = [yaml.safe_load(block.text) for block in blocks(PAGE, SECTION) if block.language == "yaml"]
    [scrape] = next(one["scrape_configs"] for one in documented if "scrape_configs" in one)
    if scrape.pop("kubernetes_sd_configs") != [{"role": "pod"}]:
        raise Failed(f"{PAGE} finds more than pods: the file of discovery has none of it")
    scrape["file_sd_configs"] = [{"files": [str(folder / "pods.json")], "refresh_interval": "5s"}]
    interval = f"{_SCRAPE_S}s"
    prometheus = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.json").write_text(json.dumps(prometheus))
    rules = next(one["rules"]["custom"] for one in documented if "rules" in one)
    (folder / "adapter.json").write_text(json.dumps({"rules": rules}))


@contextmanager
def _discovery(cluster: Cluster, file: Path) -> Iterator[None]:
    """Keep the file of discovery as the pods of the namespace are, around a block."""
    _discover(cluster, file)
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_DISCOVERY_S):
            try:
                _discover(cluster, file)
            except Failed:  # the control plane is busy: what was found before stays
                continue

    thread = threading.Thread(target=follow, name="discovery", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _discover(cluster: Cluster, file: Path) -> None:
    groups = [
        {"targets": [f"{pod['status']['podIP']}:{port['containerPort']}"], "labels": _labels(pod, port)}
        for pod in cluster.objects("pods")
        if pod["status"].get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]
    written = file.with_suffix(".new")
    written.write_text(json.dumps(groups))
    written.replace(file)


def _labels(pod: Mapping[str, Any], port: Mapping[str, Any]) -> dict[str, str]:
    """The labels of discovery in Kubernetes with the role ``pod``, as far as a job of scrapes reads them."""
    about = pod["metadata"]
    own = {
        f"__meta_kubernetes_pod_label_{''.join(c if c.isalnum() else '_' for c in name)}": value
        for name, value in about.get("labels", {}).items()
    }
    return own | {
        "__meta_kubernetes_namespace": about["namespace"],
        "__meta_kubernetes_pod_name": about["name"],
        "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
        "__meta_kubernetes_pod_container_port_number": str(port["containerPort"]),
    }


# --- what the cluster knows of it


@contextmanager
def _registered(cluster: Cluster, address: str) -> Iterator[None]:
    """Have the API server ask the adapter for custom metrics, around a block."""
    manifest = json.dumps(_objects(cluster.namespace, address))
    cluster.apply(manifest)
    try:
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", given=manifest)


def _objects(namespace: str, address: str) -> dict[str, Any]:
    name = {"name": "custom-metrics", "namespace": namespace}
    label, _, value = MADE_HERE.partition("=")
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": name,
        "spec": {"ports": [{"port": 443, "targetPort": _ADAPTER_PORT}]},
    }  # fmt: skip
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {**name, "labels": {"kubernetes.io/service-name": name["name"]}},
        "addressType": "IPv4", "ports": [{"port": _ADAPTER_PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }  # fmt: skip
    api = {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.custom.metrics.k8s.io", "labels": {label: value}},
        "spec": {
            "group": "custom.metrics.k8s.io", "version": "v1beta1", "service": name,
            "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True,
        },
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "List", "items": [service, endpoints, api]}


def _address_of(cluster: Cluster, node: str) -> str:
    path = '{.status.addresses[?(@.type=="InternalIP")].address}'
    return cluster.run("kubectl", "get", "node", node, "-o", f"jsonpath={path}")


def _inside(cluster: Cluster) -> Path:
    """The administrator's configuration with the address of the API server inside the cluster."""
    return Path(cluster.environment["KUBECONFIG"]).parent / "pki" / "inside.kubeconfig"
