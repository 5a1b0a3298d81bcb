"""Schemas of Kubernetes's own kinds, of several versions, and of the kinds of others; all of them strict."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
from tests.chart.charts import Object, documents, name_of
from tests.chart.gke_schemas import GKE
from tests.rigs.programs import custom_resources, go_module

_BUNDLED = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
VERSIONS = ("1.27", "1.29", "1.31", "1.33", "1.34", "1.35", "1.37")
"""Versions of Kubernetes that the chart is tested with."""
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.3.0"
"""The module with the definitions of the Gateway API's kinds."""

_OTHERS = (
    ".x-k8s.io",
    "keda.sh",
    "monitoring.coreos.com",
    "gateway.networking.k8s.io",
    "gke.io",
    "google.com",
)


def is_custom(found: Object) -> bool:
    """Whether a kind is not one of Kubernetes's own."""
    group = found["apiVersion"].rpartition("/")[0]
    return group.endswith(_OTHERS)


def errors(found: Object, version: str) -> list[str]:
    """What is wrong with an object for a version of Kubernetes; nothing if it is valid."""
    if is_custom(found):
        group, _, api = found["apiVersion"].rpartition("/")
        return _texts(found, _custom(group, api, found["kind"]).iter_errors(found))
    return _texts(found, _own(version, found["apiVersion"], found["kind"]).iter_errors(found))


def _texts(found: Object, invalid: Iterator[Any]) -> list[str]:
    return [f"{name_of(found)}: {error.message} at {error.instance_path}" for error in invalid]


@cache
def _own(version: str, api: str, kind: str) -> Any:
    """As kubernetes-validate composes them, but once for a kind: it reads all definitions for each object."""
    folder = _BUNDLED / f"v{version}.0-local-strict"
    group, _, number = api.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], number)))
    schema = json.loads((folder / f"{name}.json").read_text("utf-8").replace("/api/_definitions.json#", "#"))
    del schema["$id"]
    return jsonschema_rs.Draft202012Validator(schema | {"$defs": _own_definitions(folder)})


@cache
def _own_definitions(folder: Path) -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text("utf-8"))["$defs"]
    return definitions


@cache
def _custom(group: str, version: str, kind: str) -> Any:
    schema = GKE.get((group, kind)) or _definition(group, version, kind)
    return jsonschema_rs.Draft202012Validator(strict(schema))


def _definition(group: str, version: str, kind: str) -> dict[str, Any]:
    for definition in _definitions(group):
        spec = definition["spec"]
        if spec["group"] == group and spec["names"]["kind"] == kind:
            for served in spec["versions"]:
                if served["name"] == version:
                    schema: dict[str, Any] = served["schema"]["openAPIV3Schema"]
                    return schema
    raise LookupError(f"no definition of {group}/{version} {kind}")


@cache
def _definitions(group: str) -> list[dict[str, Any]]:
    gateway = group.startswith("gateway.")
    folder = go_module(GATEWAY_API) / "config/crd/standard" if gateway else custom_resources()
    return [_read(path) for path in sorted(Path(folder).glob(f"*{group}*.yaml"))]


def _read(path: Path) -> dict[str, Any]:
    [found] = documents(path.read_text("utf-8"))
    return found


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema that refuses unknown fields, of a definition's OpenAPI schema."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "nullable"}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    for word in ("items", "not"):
        if isinstance(schema.get(word), dict):
            made[word] = strict(schema[word])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(schema["additionalProperties"])
    if "properties" in schema:
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        whole = not is_open and "type" in schema
        if whole:
            made["additionalProperties"] = False
        if {"apiVersion", "kind", "metadata"} <= schema["properties"].keys():
            made["properties"]["metadata"] = {"type": "object"}
    made.pop("format", None)
    return made
