"""Pods: what they may do, what they need, how they are asked for their health and how they end."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.chart.charts import (
    CI_FILES,
    NEWEST,
    OLDER,
    Object,
    Workload,
    name_of,
    render,
    variables,
    workloads,
)

TRACE_FLUSH_S = 5
CLOSE_S = 2
"""How long closing handshakes of viewers may take after a gateway's drain."""


def pods(ci: str, **options: Any) -> list[Workload]:
    found = workloads(render(ci=ci, **options))
    assert found
    return found


def services(ci: str, **options: Any) -> Iterator[tuple[Workload, Object]]:
    """The containers of the relay's own services, with their pods."""
    for pod in pods(ci, **options):
        for container in pod.containers:
            name = container["image"].rpartition("/")[2].split(":")[0]
            if name in ("gateway", "control", "ingest", "jobs", "simulator"):
                yield pod, container


@pytest.mark.parametrize("ci", CI_FILES)
def test_pods_may_do_nothing_more_than_they_need(ci: str) -> None:
    """No root, no capabilities, no writable image, no token of Kubernetes, no access to the node."""
    for pod in pods(ci):
        spec, where = pod.spec, name_of(pod.owner)
        assert spec["automountServiceAccountToken"] is False, where
        assert spec["enableServiceLinks"] is False, where
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, where
        assert not any("hostPath" in volume for volume in spec.get("volumes", [])), where
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security.get("runAsUser", 1) > 0, where  # without one, that of the image
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        for container in pod.containers:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert own.get("privileged", False) is False, where


@pytest.mark.parametrize("ci", CI_FILES)
def test_containers_have_a_fixed_image_requests_and_a_limit_of_memory(ci: str) -> None:
    """No `latest`, nor a missing tag, which is the same; without a limit it can take its node's memory."""
    for pod in pods(ci):
        for container in pod.containers:
            where = f"{name_of(pod.owner)} {container['name']}"
            image = container["image"]
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", image), where
            assert not image.endswith(":latest"), where
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), where
            assert "memory" in resources["limits"], where


@pytest.mark.parametrize(
    ("values", "own", "others"),
    [
        ({}, "Never", "IfNotPresent"),
        ({"image": {"registry": "registry.example.com"}}, "IfNotPresent", "IfNotPresent"),
        ({"global": {"imageRegistry": "registry.example.com"}}, "IfNotPresent", "IfNotPresent"),
        ({"image": {"pullPolicy": "Always"}}, "Always", "Always"),
    ],
)
def test_images_of_the_relay_are_pulled_from_a_registry_that_is_named(
    values: Mapping[str, Any], own: str, others: str
) -> None:
    """Without one, nodes would look for them in a namespace of Docker Hub that is not the project's."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for pod in workloads(render({"demo": {"enabled": True}, **values})):
        for container in pod.containers:
            found["avatar-relay/" in container["image"]].add(container["imagePullPolicy"])
    assert found == {True: {own}, False: {others}}


@pytest.mark.parametrize("ci", CI_FILES)
def test_what_is_written_has_a_limit(ci: str) -> None:
    """The one place that is written is a volume of a bounded size, since the image is read-only."""
    for pod, container in services(ci):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        [volume] = [v for v in pod.spec["volumes"] if v["name"] == mounts["/tmp"]]  # noqa: S108  # the container's
        assert volume["emptyDir"]["sizeLimit"], name_of(pod.owner)


@pytest.mark.parametrize("ci", CI_FILES)
def test_probes_ask_the_admin_port(ci: str) -> None:
    """Three questions; liveness is the weakest, and waits longer than one long collection of garbage."""
    found = list(services(ci))
    assert found
    for pod, container in found:
        where = name_of(pod.owner)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["admin"] == int(variables(container)["RELAY_ADMIN_PORT"]), where
        paths = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        for probe, path in paths.items():
            assert container[probe]["httpGet"]["port"] == "admin", where
            assert container[probe]["httpGet"]["path"] == path, where
        liveness, readiness = container["livenessProbe"], container["readinessProbe"]
        assert liveness["failureThreshold"] >= 3, where
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 20, where
        assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 10, where


@pytest.mark.parametrize("ci", CI_FILES)
def test_probes_use_the_scheme_of_the_admin_port(ci: str) -> None:
    """HTTPS exactly where the admin port is served over TLS."""
    for pod, container in services(ci):
        scheme = "HTTPS" if variables(container).get("RELAY_TLS_ADMIN") == "true" else "HTTP"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"].get("scheme", "HTTP") == scheme, name_of(pod.owner)


def pre_stop_s(container: Object) -> float:
    """How long a container waits before SIGTERM."""
    hook = container.get("lifecycle", {}).get("preStop")
    if hook is None:
        return 0
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    [number] = re.findall(r"sleep\((\d+(?:\.\d+)?)\)", hook["exec"]["command"][-1])
    assert hook["exec"]["command"][0] == "python"
    return float(number)


def grace_needed_s(container: Object) -> float:
    """The time from the deletion of a pod to its end at the latest."""
    settings = variables(container)
    drain = float(settings["RELAY_DRAIN_ACCEPT_S"]) + float(settings["RELAY_DRAIN_S"])
    return pre_stop_s(container) + drain + CLOSE_S + TRACE_FLUSH_S


@pytest.mark.parametrize("kube_version", [OLDER, NEWEST])
@pytest.mark.parametrize("ci", CI_FILES)
def test_the_grace_period_covers_the_shutdown(ci: str, kube_version: str) -> None:
    """Its clock starts before preStop; Kubernetes kills what it does not cover, and viewers lose frames."""
    for pod, container in services(ci, kube_version=kube_version):
        assert pre_stop_s(container) >= 2, name_of(pod.owner)
        assert pod.spec["terminationGracePeriodSeconds"] >= grace_needed_s(container), name_of(pod.owner)


@pytest.mark.parametrize("component", ["gateway", "control", "ingest"])
def test_the_grace_period_follows_the_drain(component: str) -> None:
    """A longer drain makes it longer, in whole seconds."""
    values = {
        component: {"drain": {"acceptSeconds": 7.5, "seconds": 1000}},
        "shutdown": {"preStopSeconds": 9},
    }
    [(pod, container)] = [
        found for found in services("production", values=values) if found[0].component == component
    ]
    assert variables(container)["RELAY_DRAIN_S"] == "1000"
    assert variables(container)["RELAY_DRAIN_ACCEPT_S"] == "7.5"
    assert pod.spec["terminationGracePeriodSeconds"] >= grace_needed_s(container) >= 1016.5


def test_pre_stop_needs_no_shell() -> None:
    """Kubernetes's own sleep where there is one, else Python."""
    for version, hook in ((NEWEST, "sleep"), (OLDER, "exec")):
        for _, container in services("demo", kube_version=version):
            assert hook in container["lifecycle"]["preStop"]


@pytest.mark.parametrize("ci", CI_FILES)
def test_a_roll_starts_each_pod_before_it_ends_one(ci: str) -> None:
    """Gateways, control and ingest: no moment with fewer pods than before."""
    for found in render(ci=ci):
        component = found["metadata"]["labels"].get("app.kubernetes.io/component")
        if found["kind"] == "Deployment" and component in ("gateway", "control", "ingest"):
            strategy = found["spec"]["strategy"]["rollingUpdate"]
            assert strategy["maxUnavailable"] == 0, name_of(found)
            assert strategy["maxSurge"] != 0, name_of(found)
