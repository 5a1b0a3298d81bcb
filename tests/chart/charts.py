"""The chart, rendered by the real helm."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.rigs.imports import ROOT
from tests.rigs.programs import program

CHART = ROOT / "helm" / "avatar-relay"
CI_FILES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
"""Features, by the names of their files of values."""
NEWEST = "1.34.0"
OLDER = "1.29.0"
"""A version without some of the fields that the chart renders for later ones."""
EVERYTHING = (
    "monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1",
    "networking.gke.io/v1", "cloud.google.com/v1",
)  # fmt: skip
"""API versions of a cluster with every optional part."""

Object = dict[str, Any]


class Loader(yaml.CSafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """YAML in the C library's speed; `=` is a text, as in Kubernetes's."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


class Refused(Exception):
    """Raised when helm renders nothing; the text is its message."""


class Workload(NamedTuple):
    """A pod template with the object that has it."""

    component: str
    owner: Object
    template: Object

    @property
    def spec(self) -> Object:
        return self.template["spec"]

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def render(
    values: Mapping[str, Any] | None = None,
    *,
    ci: str = "",
    show_only: str | None = None,
    api_versions: Sequence[str] = EVERYTHING,
    kube_version: str = NEWEST,
    release: str = "relay",
    chart: Path = CHART,
) -> list[Object]:
    """The objects of a release.

    Args:
        values: Values, over those of the file.
        ci: The name of a file of values in ``ci``; empty: none.
        show_only: One template, by its path in the chart.
        api_versions: What the cluster has besides Kubernetes's own.
        kube_version: Its version.
        release: The release's name.
        chart: The folder of the chart.

    Raises:
        Refused: Helm refuses these values.
    """
    arguments = ["template", release, str(chart), "--namespace", "space", "--kube-version", kube_version]
    arguments += [word for version in api_versions for word in ("--api-versions", version)]
    if show_only:
        arguments += ["--show-only", show_only]
    return _objects(tuple(arguments), ci, json.dumps(values or {}))


@cache
def _objects(arguments: tuple[str, ...], ci: str, values: str) -> list[Object]:
    return documents(text(arguments, ci, values))


def documents(content: str) -> list[Object]:
    """The documents of a YAML text, those that are empty left out."""
    return [found for found in yaml.load_all(content, Loader) if found]  # it is a safe loader


def text(arguments: Sequence[str], ci: str = "", values: str = "{}") -> str:
    """What helm prints. Raises as ``render``."""
    files = ["--values", str(CHART / "ci" / f"{ci}-values.yaml")] if ci else []
    done = subprocess.run(
        [program("helm"), *arguments, *files, "--values", "-"],
        input=values, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def kinds(objects: Sequence[Object], kind: str) -> list[Object]:
    """The objects of one kind."""
    return [found for found in objects if found["kind"] == kind]


def one(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """The only object of a kind, or the one with this name."""
    [found] = [o for o in kinds(objects, kind) if not name or o["metadata"]["name"] == name]
    return found


def workloads(objects: Sequence[Object]) -> list[Workload]:
    """Every pod template, those of bare pods included."""
    return list(_workloads(objects))


def _workloads(objects: Sequence[Object]) -> Iterator[Workload]:
    for found in objects:
        labels = found["metadata"].get("labels", {})
        component = labels.get("app.kubernetes.io/component", found["metadata"]["name"])
        if found["kind"] == "Pod":
            yield Workload(component, found, found)
        elif "template" in found.get("spec", {}) and found["kind"] != "ScaledObject":
            yield Workload(component, found, found["spec"]["template"])


def name_of(found: Object) -> str:
    """Kind and name, for messages."""
    return f"{found['kind']}/{found['metadata']['name']}"


def variables(container: Object) -> dict[str, Any]:
    """The literal variables of a container."""
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
