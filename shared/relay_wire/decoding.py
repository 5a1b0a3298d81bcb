"""Decoding: the exceptions of decoders for unreadable input, and the reason that its sender receives."""

import re

import msgspec

UNREADABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, RecursionError, ValueError)
"""Exceptions of decoders for unreadable input: every reader of outside data catches all of them.

``RecursionError`` is raised for input that is nested deeper than the decoder goes, and ``ValueError`` for
text that has no bytes in UTF-8 and for numbers out of range.
"""
_MOST_CHARS = 160
_REPLACEMENTS = (
    (re.compile(r"Invalid (?:enum )?value '.*'", re.DOTALL), "a value that is not known here"),
    (re.compile(r"`str` matching regex '.*'", re.DOTALL), "text without such characters"),
)
"""Messages of decoders that repeat the input, or describe its source text."""


def reason(error: Exception) -> str:
    """Why input could not be read, for its sender: one short sentence that does not repeat the input.

    Args:
        error: One of ``UNREADABLE``.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it has text that is not UTF-8"
    text = str(error)
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 3] + "..."
