"""Autoscaling: one autoscaler for a workload, which acts before conversations wait, and never blindly."""

import json
import re
from typing import Any

import pytest
import yaml
from tests.chart.charts import CHART, CI_FILES, Object, kinds, one, render, text, workloads
from tests.rigs.documented import blocks
from tests.rigs.imports import ROOT

from relay_ingest.capacity import Capacity
from relay_ingest.demand import Demand
from relay_streams.leases import Load, Queue

BY_VIEWERS = {"enabled": True, "targetViewers": 500, "targetCPUPercent": ""}


@pytest.mark.parametrize("ci", CI_FILES)
def test_a_workload_has_replicas_or_one_autoscaler(ci: str) -> None:
    """With both, every upgrade would set the number of pods back."""
    objects = render(ci=ci)
    scalers = [
        found["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for found in kinds(objects, kind)
    ]
    assert len(scalers) == len(set(scalers))
    for deployment in kinds(objects, "Deployment"):
        assert ("replicas" in deployment["spec"]) != (deployment["metadata"]["name"] in scalers)


def test_gateways_scale_by_viewers_and_by_cpu() -> None:
    """The metric is one that a gateway has; without a target there is none, and no adapter is needed."""
    spec = one(render(ci="autoscaling"), "HorizontalPodAutoscaler", "relay-gateway")["spec"]
    cpu, viewers = spec["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert viewers["pods"]["target"] == {"type": "AverageValue", "averageValue": "2000"}
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    assert f"| `{viewers['pods']['metric']['name']}` | gauge |" in page
    [only] = one(
        render({"gateway": {"autoscaling": BY_VIEWERS}}, ci="production"), "HorizontalPodAutoscaler"
    )["spec"]["metrics"]
    assert only["pods"]["target"]["averageValue"] == "500"


def documented(key: str) -> Any:
    """A value of the blocks of YAML about autoscaling."""
    found = blocks("docs/operations/kubernetes.md", "### Autoscaling")
    values = [yaml.safe_load(block.text) for block in found if block.language == "yaml"]
    return next(one_of[key] for one_of in values if key in one_of)


def test_the_documented_rule_serves_the_metric_of_an_hpa() -> None:
    """An operator copies it: the adapter names the metric as the series is named."""
    [rule] = documented("rules")["custom"]
    [metric] = one(
        render({"gateway": {"autoscaling": BY_VIEWERS}}, ci="production"), "HorizontalPodAutoscaler"
    )["spec"]["metrics"]
    assert rule["seriesQuery"].partition("{")[0] == metric["pods"]["metric"]["name"]
    assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}
    assert "name" not in rule


def test_the_documented_job_scrapes_the_pods_of_the_chart() -> None:
    """It keeps the admin ports by the labels that pods have, and gives what the rule reads."""
    [job] = documented("scrape_configs")
    first, *others = job["relabel_configs"]
    name, port = first["regex"].split(";")
    assert {one_of["target_label"] for one_of in others} == {"namespace", "pod", "job"}
    for workload in workloads(render(ci="production")):
        if workload.component != "test":
            assert workload.template["metadata"]["labels"]["app.kubernetes.io/name"] == name
            assert port in {one_of["name"] for one_of in workload.spec["containers"][0]["ports"]}


@pytest.mark.parametrize("ci", ["autoscaling", "keda"])
def test_pods_are_removed_slowly(ci: str) -> None:
    """One at a time, after ten minutes: each moves its viewers, or hands its conversations over."""
    found = [behavior(o) for o in render(ci=ci) if o["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert found
    for down in (one_of["scaleDown"] for one_of in found):
        assert down["stabilizationWindowSeconds"] >= 600
        assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    assert all(one_of["scaleUp"]["stabilizationWindowSeconds"] == 0 for one_of in found)


def behavior(found: Object) -> Any:
    if found["kind"] == "ScaledObject":
        return found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return found["spec"]["behavior"]


def triggers(**keda: Any) -> dict[str, Object]:
    values = {"ingest": {"keda": {"enabled": True, **keda}}}
    spec = one(render(values, ci="production"), "ScaledObject")["spec"]
    return {
        trigger["metadata"].get("valueLocation", trigger["type"]): trigger for trigger in spec["triggers"]
    }


def test_what_keda_reads_is_in_the_document() -> None:
    """Each field is one of /demand, at the admin port, by a Service of the workers that are ready."""
    demand = Demand(Capacity(1, 1), fresh_s=1)
    demand.update([Queue(0, 0, 0.0)], Load(0, 0, 1), now=0)
    document = json.loads(json.dumps(demand.document(0)))
    found = triggers()
    assert found.keys() == {"needed_workers", "unowned_conversations", "unowned_seconds"}
    assert found.keys() <= document.keys()
    for trigger in found.values():
        assert trigger["metadata"]["url"] == "http://relay-ingest-admin.space.svc:9090/demand"
        assert trigger["metadata"]["format"] == "json"
    service = one(render(ci="keda"), "Service", "relay-ingest-admin")
    assert not service["spec"].get("publishNotReadyAddresses")


def test_no_lag_of_a_stream_is_read() -> None:
    """Redis does not know the lag of a trimmed stream, and there is one stream for each partition."""
    printed = text(["template", "relay", str(CHART)], "keda")
    assert not re.search(r"^\s*-?\s*(type: redis|lagCount|pendingEntriesCount)", printed, re.MULTILINE)


def test_the_target_of_the_load_is_below_one() -> None:
    """So that there is room before conversations wait; the numbers of all pods are added up, then divided."""
    load = triggers()["needed_workers"]
    assert 0 < float(load["metadata"]["targetValue"]) < 1
    assert load["metricType"] == "AverageValue"
    assert triggers()["unowned_seconds"]["metricType"] == "Value"


def test_a_blank_target_is_no_trigger() -> None:
    """Each can be turned off, and others added."""
    cpu = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
    assert triggers(neededWorkers="", unownedSeconds=None, extraTriggers=[cpu]).keys() == {
        "unowned_conversations", "cpu",
    }  # fmt: skip


def test_a_blind_scaler_removes_no_pod() -> None:
    """Without numbers there are as many pods as before, and never fewer than the least."""
    fallback = one(render(ci="keda"), "ScaledObject")["spec"]["fallback"]
    assert fallback == {"failureThreshold": 3, "replicas": 4, "behavior": "currentReplicasIfHigher"}
    values = {"ingest": {"keda": {"enabled": True, "minReplicas": 5}}}
    assert one(render(values, ci="production"), "ScaledObject")["spec"]["fallback"]["replicas"] == 5


def test_keda_asks_over_tls_where_the_admin_port_does() -> None:
    """A certificate that KEDA cannot verify is accepted only if that is asked for."""
    values: dict[str, Any] = {
        "tls": {"existingSecret": "tls", "admin": True},
        "ingest": {"keda": {"enabled": True}},
    }
    for unsafe in (False, True):
        values["ingest"]["keda"]["unsafeTls"] = unsafe
        spec = one(render(values, ci="production"), "ScaledObject")["spec"]
        for trigger in spec["triggers"]:
            assert trigger["metadata"]["url"].startswith("https://")
            assert ("unsafeSsl" in trigger["metadata"]) is unsafe
