"""A finding: the result of one check of the doctor."""

from typing import Literal, NamedTuple

TIMEOUT_S = 5.0
"""How long a check waits for another machine."""


class Finding(NamedTuple):
    """The result of one check."""

    what: str
    state: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""
