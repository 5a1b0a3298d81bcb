"""Monitoring: every pod is scraped once, one job per service; alerts and dashboards are those of files/."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.charts import CHART, Object, kinds, one, render, workloads
from tests.chart.test_selectors import matches
from tests.rigs.need import need


def rules_of_files() -> list[Object]:
    return [
        group
        for path in sorted((CHART / "files" / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    ]


def test_the_rules_are_those_of_the_files() -> None:
    """Alerts and recording rules, unchanged, templates of Prometheus included."""
    rule = one(render({"monitoring": {"rules": {"enabled": True}}}, ci="production"), "PrometheusRule")
    assert rule["spec"]["groups"] == rules_of_files()


def test_rules_are_left_out_added_and_linked() -> None:
    """By their names, in a group of their own, and to the operator's own page of runbooks."""
    groups = one(render(ci="monitoring"), "PrometheusRule")["spec"]["groups"]
    expected = {r["alert"] for group in rules_of_files() for r in group["rules"] if "alert" in r}
    alerts = [r for group in groups for r in group["rules"] if "alert" in r]
    assert {r["alert"] for r in alerts} == expected - {"RelayLogLinesDropped"} | {"RelayNoViewers"}
    assert groups[-1]["name"] == "relay-additional"
    links = [r["annotations"]["runbook_url"] for r in alerts if "annotations" in r]
    assert links
    assert all(link.startswith("https://runbooks.example.com/relay#relay") for link in links)
    assert len({group["name"] for group in groups}) == len(groups)


def test_the_rendered_rules_are_valid(tmp_path: Path) -> None:
    """By promtool, as Prometheus would load them."""
    promtool = need(shutil.which("promtool"), "promtool")
    groups = one(render(ci="monitoring"), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups), "utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_dashboards_are_those_of_the_files() -> None:
    """One ConfigMap for each, with the label by which Grafana's sidecar finds it."""
    maps = [o for o in kinds(render(ci="monitoring"), "ConfigMap") if "dashboard" in o["metadata"]["name"]]
    files = {path.name: path for path in (CHART / "files" / "dashboards").glob("*.json")}
    assert len(maps) == len(files)
    for found in maps:
        [(name, content)] = found["data"].items()
        assert json.loads(content) == json.loads(files[name].read_text("utf-8"))
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "Avatar Relay"}


def scraped(objects: list[Object]) -> dict[str, list[str]]:
    """By job, the components whose pods are scraped; through Services or not."""
    pods = workloads(objects)
    jobs: dict[str, list[str]] = {}
    for monitor in kinds(objects, "PodMonitor"):
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        for pod in pods:
            if matches(monitor["spec"]["selector"], pod.template["metadata"]["labels"]):
                jobs.setdefault(job_of(endpoint), []).append(pod.component)
    for monitor in kinds(objects, "ServiceMonitor"):
        [endpoint] = monitor["spec"]["endpoints"]
        for service in kinds(objects, "Service"):
            if matches(monitor["spec"]["selector"], service["metadata"]["labels"]):
                assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
                assert service["spec"]["publishNotReadyAddresses"] is True
                jobs.setdefault(job_of(endpoint), []).append(
                    service["metadata"]["labels"]["app.kubernetes.io/component"]
                )
    return jobs


def job_of(endpoint: Object) -> str:
    [job] = [r["replacement"] for r in endpoint["relabelings"] if r["targetLabel"] == "job"]
    return str(job)


@pytest.mark.parametrize("ci", ["monitoring", "servicemonitor"])
def test_every_pod_is_scraped_once(ci: str) -> None:
    """With one job for each service of this relay, as the rules need; the roles of jobs are one."""
    assert {job: sorted(components) for job, components in scraped(render(ci=ci)).items()} == {
        "space/relay-gateway": ["gateway"],
        "space/relay-control": ["control"],
        "space/relay-ingest": ["ingest"],
        "space/relay-jobs": ["jobs-beat", "jobs-dispatcher", "jobs-worker"],
    }


@pytest.mark.parametrize("kind", ["podMonitor", "serviceMonitor"])
def test_the_simulator_is_scraped_where_it_runs(kind: str) -> None:
    """And KEDA's Service, which has the same component as ingest, is not scraped a second time."""
    values: dict[str, Any] = {"monitoring": {kind: {"enabled": True}}, "ingest": {"keda": {"enabled": True}}}
    jobs = scraped(render(values, ci="demo"))
    assert jobs["space/relay-simulator"] == ["simulator"]
    assert jobs["space/relay-ingest"] == ["ingest"]


def test_the_scheme_is_that_of_the_admin_port() -> None:
    """HTTPS with a tlsConfig where the admin port is served over TLS."""
    for monitor in kinds(render(ci="servicemonitor"), "ServiceMonitor"):
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["scheme"] == "https"
        assert endpoint["tlsConfig"] == {"insecureSkipVerify": True}
    for monitor in kinds(render(ci="monitoring"), "PodMonitor"):
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["scheme"] == "http"
        assert "tlsConfig" not in endpoint


@pytest.mark.parametrize("ci", ["production", "demo"])
def test_nothing_of_it_is_rendered_unless_it_is_turned_on(ci: str) -> None:
    """A cluster without the operator's definitions would refuse the whole release."""
    optional = ("coreos.com", "keda.sh", "google.com", "gke.io", "gateway.networking.k8s.io")
    groups = {o["apiVersion"].rpartition("/")[0] for o in render(ci=ci, api_versions=())}
    assert not any(group.endswith(optional) for group in groups)
