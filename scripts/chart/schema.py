"""The settings in ``values.schema.json``: each variable with its type and bounds, from the services' classes.

The rest of the schema is written by hand and kept. Every setting may also be a text, as variables are, and
blank.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relay_settings.base import Settings
from relay_settings.catalogue import SERVICES

_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_WHOLE = r"^\s*([+-]?[0-9]+)?\s*$"
_NUMBER = r"^\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)?\s*$"
_SWITCH = r"^\s*([Tt]rue|[Ff]alse|1|0|[Yy]es|[Nn]o|[Oo]n|[Oo]ff)?\s*$"


def text(schema: str) -> str:
    """The schema with the settings of today in place of those it had."""
    whole = json.loads(schema)
    whole["$defs"]["settings"]["properties"] = dict(sorted(_properties()))
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in SERVICES.values():
        for name, schema in kind.model_json_schema(by_alias=False)["properties"].items():
            yield kind.variable(name), _described(kind, name) | value(schema)


def _described(kind: type[Settings], name: str) -> dict[str, Any]:
    return {"description": kind.model_fields[name].description or ""}


def value(setting: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a setting's value in the chart, from that of its field."""
    options = [option for option in setting.get("anyOf", (setting,)) if option.get("type") != "null"]
    option = options[0]
    if "enum" in option:
        return {"enum": [*option["enum"], "", None]}
    match option["type"]:
        case "integer" | "number" as kind:
            bounds = {key: option[key] for key in _BOUNDS if key in option}
            return (
                {"type": [kind, "string", "null"]}
                | bounds
                | {"pattern": _WHOLE if kind == "integer" else _NUMBER}
            )
        case "boolean":
            return {"type": ["boolean", "string", "null"], "pattern": _SWITCH}
        case "array":
            return {"type": ["array", "string", "null"], "items": {"type": "string"}}
    return {"type": ["string", "number", "null"]}
