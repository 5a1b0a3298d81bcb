"""Text from outside: the rules for accepted text, the same at every entry point.

A required field that breaks a rule is refused; an optional one is ignored. Both happen at the entry point:
further inside, a refusal of a field would cost the payload of its message.
"""

import re
from typing import Annotated

import msgspec

NAME_CHARS = 128
"""Longest name or id."""
NAME = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]*\Z"
"""The characters of a name, as a JSON Schema pattern: no control characters, none that change the direction
or the line of the text around it, no half of a surrogate pair."""
Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARS, pattern=NAME)]
"""A name or an id in a JSON body, or nothing."""

_NAME = re.compile(NAME)
_TRACEPARENT_CHARS = 256
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_TRACESTATE_CHARS = 512
_TRACESTATE_MEMBERS = 32
_TRACESTATE_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def is_name(text: str, *, most_chars: int = NAME_CHARS) -> bool:
    """Whether this can be a name: an id, an avatar, a clip."""
    return 0 < len(text) <= most_chars and _NAME.match(text) is not None


def traceparent(text: str) -> str:
    """A W3C ``traceparent`` in the form of version 00; empty when the text is none."""
    found = _TRACEPARENT.fullmatch(text) if len(text) <= _TRACEPARENT_CHARS else None
    if found is None or not found["trace"].strip("0") or not found["span"].strip("0"):
        return ""
    if found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return ""
    return f"00-{found['trace']}-{found['span']}-{found['flags']}"


def tracestate(text: str) -> str:
    """A W3C ``tracestate``; empty when the text is none, or longer than has to be propagated."""
    members = [member.strip(" \t") for member in text[: _TRACESTATE_CHARS + 1].split(",")]
    members = [member for member in members if member]
    names = {member.partition("=")[0] for member in members}
    if len(text) > _TRACESTATE_CHARS or len(members) > _TRACESTATE_MEMBERS or len(names) < len(members):
        return ""
    return ",".join(members) if all(map(_TRACESTATE_MEMBER.fullmatch, members)) else ""
