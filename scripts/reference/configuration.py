"""The page of settings, from the services' settings classes."""

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from pydantic import SecretStr
from scripts.reference.markdown import code, prose, table

from relay_settings.base import Settings
from relay_settings.catalogue import SERVICES

NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "gateway": (("RELAY_TOKEN_SECRET", "RELAY_TOKEN_KEYS_DIR"),),
    "ingest": (("SPATIUS_API_KEY",), ("SPATIUS_APP_ID",)),
    "control": (("RELAY_API_KEYS",), ("RELAY_TOKEN_SECRET", "RELAY_TOKEN_KEYS_DIR")),
    "jobs": (),
    "simulator": (),
}
"""By service, the variables it does not start without; of each tuple one is enough."""

_UNITS = (
    ("_bytes_per_s", "bytes per second"),
    ("_per_s", "per second"),
    ("_per_minute", "per minute"),
    ("_bytes", "bytes"),
    ("_ms", "milliseconds"),
    ("_s", "seconds"),
)
_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("minItems", "at least {}"),
    ("pattern", "matching `{}`"),
)
_BINARY = ((1024 * 1024, "MiB"), (1024, "KiB"))

_TEMPLATE = Path(__file__).with_suffix(".md")


def page() -> str:
    """The text of the page."""
    sections = _sections()
    services = (
        (f"`{name}`", _needed(name), _clients(SERVICES[name].__mro__, sections)) for name in sorted(SERVICES)
    )
    return Template(_TEMPLATE.read_text("utf-8")).substitute(
        services=table(("service", "does not start without", "sections"), services),
        sections="\n".join(map(_section, sections)),
    )


def own_fields(kind: type[Settings]) -> list[str]:
    """The fields that a class declares itself, by variable."""
    declared = inspect.get_annotations(kind)
    return sorted((name for name in kind.model_fields if name in declared), key=kind.variable)


def _sections() -> list[type[Settings]]:
    """The classes that declare settings: those that services share, then the services' own."""
    services = set(SERVICES.values())
    kinds = {kind for service in services for kind in service.__mro__ if issubclass(kind, Settings)}
    shown = [kind for kind in kinds if own_fields(kind)]
    return sorted(shown, key=lambda kind: (kind in services, _title(kind)))


def _section(kind: type[Settings]) -> str:
    properties = kind.model_json_schema(by_alias=False)["properties"]
    rows = [
        (
            code(kind.variable(name)),
            _type(name, properties[name]),
            _default(kind, name),
            prose(kind.model_fields[name].description or ""),
        )
        for name in own_fields(kind)
    ]
    return "\n".join(
        (
            f"## {_title(kind)}\n",
            f"{(kind.__doc__ or '').strip().replace('``', '`')} Read by: {', '.join(_readers(kind))}.\n",
            table(("variable", "value", "default", "meaning"), rows),
        )
    )


def _title(kind: type[Settings]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.removesuffix("Settings")).capitalize()


def _readers(kind: type[Settings]) -> list[str]:
    return sorted(name for name, service in SERVICES.items() if issubclass(service, kind))


def _needed(service: str) -> str:
    return ", ".join(" or ".join(map(code, names)) for names in NEEDED[service]) or "(nothing)"


def _clients(kinds: Collection[type], sections: Iterable[type[Settings]]) -> str:
    titles = (_title(kind) for kind in sections if kind in kinds)
    return ", ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles)


def _type(name: str, schema: Mapping[str, Any]) -> str:
    """What a setting takes: kind, unit and bounds."""
    options = [option for option in schema.get("anyOf", (schema,)) if option.get("type") != "null"]
    option = options[0]
    bounds = [text.format(_number(name, option[key])) for key, text in _BOUNDS if key in option]
    return ", ".join((_kind(name, option), *bounds)).replace("|", r"\|")


def _kind(name: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    match schema["type"]:
        case "boolean":
            return "switch"
        case "array":
            return "list of secrets" if schema["items"].get("writeOnly") else "list"
        case "integer" | "number" as kind:
            unit = next((unit for suffix, unit in _UNITS if name.endswith(suffix)), "")
            return unit or ("whole number" if kind == "integer" else "number")
    return "**secret**" if schema.get("writeOnly") else {"path": "path"}.get(schema.get("format", ""), "text")


def _default(kind: type[Settings], name: str) -> str:
    field = kind.model_fields[name]
    value = field.get_default()
    if field.is_required():
        return "(required)"
    if isinstance(value, SecretStr):  # in clear: what stands in the code is no secret
        value = value.get_secret_value()
    if value is None or value in ("", ()):
        return "(none)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(name, value)
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def _number(name: str, value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if "_bytes" in name:
        for size, unit in _BINARY:
            if value >= size and value % size == 0:
                return f"{value:.0f} ({value // size:.0f} {unit})"
    return f"{value:.15g}"
