"""The page of Redis keys, from the list that names are built from."""

from pathlib import Path
from string import Template

from scripts.reference.markdown import code, prose, table

from relay_settings.store import DEFAULT_KEY_PREFIX
from relay_streams.key_kinds import KINDS, KeyKind

_TEMPLATE = Path(__file__).with_suffix(".md")
_VARIABLES = {"made": "<API key id>", "heartbeat": "<client>"}
"""By kind, what the variable part is; of the others it is a conversation's id."""


def page() -> str:
    """The text of the page."""
    rows = (cells(name, kind) for name, kind in KINDS.items())
    keys = table(("key", "type", "content"), rows).rstrip("\n")
    return Template(_TEMPLATE.read_text("utf-8")).substitute(keys=keys)


def cells(name: str, kind: KeyKind) -> tuple[str, ...]:
    """The row of a kind."""
    prefix = f"{DEFAULT_KEY_PREFIX}:{{pNN}}" if kind.tagged else DEFAULT_KEY_PREFIX
    variable = _VARIABLES.get(name, "<conversation>")
    return code(kind.name(prefix, variable)), kind.type, prose(kind.content)
