"""values.yaml and its schema know the same keys, and every default is valid."""

import json
from collections.abc import Iterator
from typing import Any

import yaml
from tests.chart.charts import CHART

SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        target: Any = SCHEMA
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        schema = target | {key: value for key, value in schema.items() if key != "$ref"}
    return schema


def keys_of_schema(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key that a schema names, down to maps whose keys the user chooses."""
    for name, inner in resolved(schema).get("properties", {}).items():
        yield f"{path}{name}"
        yield from keys_of_schema(inner, f"{path}{name}.")


def keys_of_values(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of values, but those in maps whose keys the user chooses."""
    properties = resolved(schema).get("properties", {})
    for name, value in values.items():
        yield f"{path}{name}"
        if isinstance(value, dict) and resolved(properties.get(name, {})).get("properties"):
            yield from keys_of_values(value, properties[name], f"{path}{name}.")


OPTIONAL = (
    "resources.claims", "resources.limits", "resources.requests", ".initialDelaySeconds", ".successThreshold",
)  # fmt: skip
"""Keys of Kubernetes's own that the schema names and values.yaml may leave out."""


def test_the_schema_and_the_values_have_the_same_keys() -> None:
    """A key of one alone is a value that cannot be set, or one that nobody finds."""
    in_schema, in_values = set(keys_of_schema(SCHEMA)), set(keys_of_values(VALUES, SCHEMA))
    assert in_values - in_schema == set()
    only = {key for key in in_schema - in_values if not key.endswith(OPTIONAL)}
    assert {key for key in only if not is_foreign(key)} == set()


def is_foreign(key: str) -> bool:
    """Whether it is in a map that values.yaml has blank, so that its keys are shown nowhere."""
    place: Any = VALUES
    for name in key.split(".")[:-1]:
        place = place.get(name) if isinstance(place, dict) else None
    return place in ({}, None)


def test_every_map_of_the_schema_is_closed() -> None:
    """An unknown key is an error, unless the user chooses the keys or Kubernetes defines them."""

    def check(schema: dict[str, Any], path: str) -> None:
        found = resolved(schema)
        if "properties" in found and not path.endswith(("SecurityContext", "securityContext")):
            assert "additionalProperties" in found, path
        for name, inner in found.get("properties", {}).items():
            check(inner, f"{path}.{name}")

    check(SCHEMA, "")
