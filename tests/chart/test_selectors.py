"""Selectors: they match the pods they mean, and no later version of the chart changes a Deployment's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.chart.charts import CHART, CI_FILES, Object, Workload, kinds, name_of, render, workloads


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a selector, of labels and expressions, matches."""
    for expression in selector.get("matchExpressions", []):
        value = labels.get(expression["key"])
        if expression["operator"] == "In" and value not in expression["values"]:
            return False
        if expression["operator"] == "Exists" and value is None:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def selected(selector: Object, pods: list[Workload]) -> list[Workload]:
    return [pod for pod in pods if matches(selector, pod.template["metadata"]["labels"])]


@pytest.mark.parametrize("ci", CI_FILES)
def test_a_service_selects_the_pods_of_its_component(ci: str) -> None:
    """Of one workload alone, and each of its target ports is a named port of their container."""
    objects = render(ci=ci)
    pods = workloads(objects)
    for service in kinds(objects, "Service"):
        [pod] = selected({"matchLabels": service["spec"]["selector"]}, pods)
        assert service["metadata"]["labels"]["app.kubernetes.io/component"] == pod.component
        ports = {port["name"] for container in pod.containers for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, name_of(service)


@pytest.mark.parametrize("ci", CI_FILES)
def test_a_budget_has_pods_and_never_blocks_a_drain(ci: str) -> None:
    """It allows one eviction at least, however few pods there are, and those of pods that are not ready."""
    objects = render(ci=ci)
    found = kinds(objects, "PodDisruptionBudget")
    assert found
    for budget in found:
        [_] = selected(budget["spec"]["selector"], workloads(objects))
        assert "minAvailable" not in budget["spec"], name_of(budget)
        assert budget["spec"]["maxUnavailable"] not in (0, "0%"), name_of(budget)
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name_of(budget)


@pytest.mark.parametrize("ci", CI_FILES)
def test_a_workload_selects_its_own_pods(ci: str) -> None:
    """And no pod of another workload; spread constraints mean its own pods, too."""
    objects = render(ci=ci)
    pods = workloads(objects)
    for pod in pods:
        if pod.owner["kind"] == "Pod":
            continue
        assert selected(pod.owner["spec"]["selector"], pods) == [pod], name_of(pod.owner)
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            assert selected(constraint["labelSelector"], pods) == [pod], name_of(pod.owner)


@pytest.mark.parametrize("ci", CI_FILES)
def test_what_is_published_exists(ci: str) -> None:
    """Ingresses, routes, autoscalers and policies name Services, ports and Deployments of this release."""
    objects = render(ci=ci)
    services = {o["metadata"]["name"]: o for o in kinds(objects, "Service")}
    deployments = {o["metadata"]["name"] for o in kinds(objects, "Deployment")}
    for found in objects:
        for name, port in backends(found):
            ports = {p for entry in services[name]["spec"]["ports"] for p in (entry["name"], entry["port"])}
            assert port is None or port in ports, name_of(found)
        if found["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            assert found["spec"]["scaleTargetRef"]["name"] in deployments, name_of(found)


def backends(found: Object) -> Iterator[tuple[str, str | int | None]]:
    """The Services, with their ports, that an object names."""
    if found["kind"] == "Ingress":
        for rule in found["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield service["name"], service["port"].get("name") or service["port"]["number"]
    elif found["kind"] == "HTTPRoute":
        for rule in found["spec"]["rules"]:
            yield from ((backend["name"], backend["port"]) for backend in rule["backendRefs"])
    elif found["kind"] in ("HealthCheckPolicy", "GCPBackendPolicy"):
        yield found["spec"]["targetRef"]["name"], None
    elif found["kind"] == "ScaledObject":
        for trigger in found["spec"]["triggers"]:
            if trigger["type"] == "metrics-api":
                host, _, port = trigger["metadata"]["url"].split("//")[1].split("/")[0].partition(":")
                yield host.split(".")[0], int(port)


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The chart with later versions of itself and of the relay."""
    chart = tmp_path / "avatar-relay"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    about |= {"version": "99.1.0", "appVersion": "88.2.0"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about), "utf-8")
    return chart


def test_selectors_are_the_same_in_every_version(later: Path) -> None:
    """A Deployment's selector cannot be changed: an upgrade that tries fails in the middle."""
    values = {"jobs": {"enabled": True}}

    def selectors(chart: Path) -> dict[str, Object]:
        return {
            name_of(found): found["spec"]["selector"]
            for found in render(values, ci="demo", chart=chart)
            if "selector" in found.get("spec", {})
        }

    now = selectors(CHART)
    assert now == selectors(later)
    assert not any(
        "version" in str(key) or "chart" in str(key) for found in now.values() for key in flat(found)
    )


def flat(selector: Object) -> list[str]:
    """The labels that a selector reads."""
    return [*selector.get("matchLabels", selector)]


def test_a_later_chart_alone_replaces_no_pod(later: Path) -> None:
    """With the same version of the relay the pod templates stay as they are."""
    about = yaml.safe_load((later / "Chart.yaml").read_text("utf-8"))
    about["appVersion"] = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"]
    (later / "Chart.yaml").write_text(yaml.safe_dump(about), "utf-8")

    def templates(chart: Path) -> list[Object]:
        return [
            pod.template
            for pod in workloads(render(ci="production", chart=chart))
            if pod.owner["kind"] != "Pod"
        ]

    assert templates(CHART) == templates(later)
