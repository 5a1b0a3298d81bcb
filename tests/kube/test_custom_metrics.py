"""What the documentation configures, as far as it needs no cluster."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.kube.custom_metrics import METRIC, _labels, _write_configuration
from tests.rigs.need import need

POD = {
    "metadata": {
        "name": "relay-gateway-1", "namespace": "space",
        "labels": {"app.kubernetes.io/name": "avatar-relay", "app.kubernetes.io/component": "gateway"},
    },
}  # fmt: skip


def test_prometheus_accepts_the_documented_job(tmp_path: Path):
    """With a file of discovery in the place of discovery in Kubernetes."""
    _write_configuration(tmp_path)
    (tmp_path / "pods.json").write_text("[]")
    promtool = need(shutil.which("promtool"), "promtool")
    checked = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.json")], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_adapter_has_the_documented_rule(tmp_path: Path):
    """The rule is of the metric that the cluster is asked for."""
    _write_configuration(tmp_path)
    [rule] = json.loads((tmp_path / "adapter.json").read_text())["rules"]
    assert rule["seriesQuery"].startswith(f"{METRIC}{{")


def test_a_pod_has_the_labels_of_discovery_in_kubernetes():
    """Names of labels have no dot and no slash there."""
    assert _labels(POD, {"name": "admin", "containerPort": 9090}) == {
        "__meta_kubernetes_namespace": "space",
        "__meta_kubernetes_pod_name": "relay-gateway-1",
        "__meta_kubernetes_pod_container_port_name": "admin",
        "__meta_kubernetes_pod_container_port_number": "9090",
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": "avatar-relay",
        "__meta_kubernetes_pod_label_app_kubernetes_io_component": "gateway",
    }
