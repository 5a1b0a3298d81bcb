"""Verdict: what becomes of a conversation, from what was found of it. Pure."""

from enum import StrEnum
from typing import NamedTuple

from relay_streams.scripts.examine import Examination


class Verdict(StrEnum):
    """What is to be done."""

    KEEP = "keep"
    CLOSE = "close"
    """Request its end, which its owner carries out."""
    END = "end"
    """End it here: nobody has carried out the request."""
    REMOVE = "remove"
    """Remove its streams: it has no record."""


class Limits(NamedTuple):
    """For how long what nobody uses is kept."""

    idle_ms: int
    """A conversation without viewers and traffic; 0: for ever."""
    gone_ms: int
    """A conversation whose end was requested, without an owner."""


def verdict(found: Examination, limits: Limits) -> Verdict:
    """What is to be done about a conversation."""
    match found.state:
        case "orphan":
            return Verdict.REMOVE
        case "open" if limits.idle_ms and found.idle_ms >= limits.idle_ms:
            return Verdict.CLOSE
        case "closing" if min(found.idle_ms, found.unowned_ms) >= limits.gone_ms:
            return Verdict.END
        case _:
            return Verdict.KEEP
