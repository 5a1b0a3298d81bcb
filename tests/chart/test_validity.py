"""Every object is valid, strictly, for several versions of Kubernetes, or by the definition of its kind."""

import copy

import pytest
from tests.chart.charts import CI_FILES, NEWEST, OLDER, Object, name_of, render
from tests.chart.schemas import VERSIONS, errors, is_custom

EXPECTED_CUSTOM = {
    "BackendConfig", "GCPBackendPolicy", "HTTPRoute", "HealthCheckPolicy", "PodMonitor", "PrometheusRule",
    "ScaledObject", "ServiceMonitor",
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(version: str) -> None:
    """Of every feature, without a field that this version does not know."""
    wrong: list[str] = []
    seen: set[str] = set()
    for ci in CI_FILES:
        # What is rendered differs between versions before and from 1.30: tests.chart.test_pods.
        rendered_for = OLDER if version < "1.30" else NEWEST
        for found in render(ci=ci, kube_version=rendered_for):
            if not is_custom(found) and repr(found) not in seen:
                seen.add(repr(found))
                wrong += [f"{ci}: {text}" for text in errors(found, version)]
    assert wrong == []


@pytest.mark.parametrize("ci", CI_FILES)
def test_objects_of_others_are_valid(ci: str) -> None:
    """By the definitions of KEDA, the Prometheus operator, the Gateway API and GKE."""
    wrong = [text for found in render(ci=ci) if is_custom(found) for text in errors(found, VERSIONS[-1])]
    assert wrong == []


def test_every_kind_of_others_is_rendered_somewhere() -> None:
    """A kind that no file of ci/ renders would be valid for want of an object."""
    found = {o["kind"] for ci in CI_FILES for o in render(ci=ci) if is_custom(o)}
    assert found == EXPECTED_CUSTOM


def _with(found: Object, path: str, value: object) -> Object:
    changed = copy.deepcopy(found)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("ci", "kind", "path", "value"),
    [
        ("demo", "Deployment", "spec.unknown", 1),
        ("demo", "Deployment", "spec.template.spec.containers.0.unknown", 1),
        ("demo", "Service", "spec.ports.0.port", "8080"),
        ("keda", "ScaledObject", "spec.minReplicas", 1),
        ("keda", "ScaledObject", "spec.fallback.behavior", "never"),
        ("monitoring", "PodMonitor", "spec.podMetricsEndpoints.0.portt", "admin"),
        ("monitoring", "PrometheusRule", "spec.groups.0.rules.0.form", "5m"),
        ("servicemonitor", "ServiceMonitor", "spec.endpoints.0.interval", 15),
        ("httproute", "HTTPRoute", "spec.rules.0.timeout", "1s"),
        ("httproute-gke", "HealthCheckPolicy", "spec.default.interval", 5),
        ("httproute-gke", "GCPBackendPolicy", "spec.default.timeoutSec", "5"),
        ("ingress-gke", "BackendConfig", "spec.timeout", 5),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(ci: str, kind: str, path: str, value: object) -> None:
    """The schemas refuse unknown fields and wrong types; otherwise the tests above show nothing."""
    found = next(o for o in render(ci=ci) if o["kind"] == kind)
    assert errors(found, VERSIONS[-1]) == [], name_of(found)
    assert errors(_with(found, path, value), VERSIONS[-1])
