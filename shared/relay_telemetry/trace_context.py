"""Trace contexts: the trace and the span that work belongs to, as W3C Trace Context has them; pure."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SAMPLED = 1

Attribute = str | bool | int | float | Sequence[str]
"""The value of an attribute."""


class Event(NamedTuple):
    """Something that happened during a span."""

    name: str
    """Low cardinality, as a span's."""
    at_ns: int
    """Wall time."""
    attributes: Mapping[str, Attribute] = {}


class Context(NamedTuple):
    """One span of a trace, for whatever continues the trace. False when there is none.

    Anything that is no ``traceparent`` counts as none.
    """

    traceparent: str = ""
    """Version, trace id, span id and flags, in hex digits."""
    state: str = ""
    """The ``tracestate`` that travels with it; empty: none."""

    def encode(self) -> str:
        """The context in one line: ``traceparent``, and the state after a space; empty when it is none."""
        if not self:
            return ""
        return f"{self.traceparent} {self.state}" if self.state else self.traceparent

    @classmethod
    def decode(cls, line: str) -> "Context":
        """Read such a line."""
        traceparent, _, state = line.partition(" ")
        return cls(traceparent, state)

    def __bool__(self) -> bool:
        return _TRACEPARENT.fullmatch(self.traceparent) is not None

    @property
    def trace_id(self) -> str:
        """32 hex digits; empty when there is no trace."""
        return self.traceparent[3:35] if self else ""

    @property
    def span_id(self) -> str:
        """16 hex digits; empty when there is no trace."""
        return self.traceparent[36:52] if self else ""

    @property
    def flags(self) -> int:
        """The trace flags; 0 when there is no trace."""
        return int(self.traceparent[53:], 16) if self else 0

    @property
    def sampled(self) -> bool:
        """Whether spans of the trace are recorded."""
        return bool(self.flags & _SAMPLED)

    def child(self, span_id: str) -> "Context":
        """Another span of the same trace, with the same flags and state."""
        return Context(f"00-{self.trace_id}-{span_id}-{self.flags:02x}", self.state)

    def with_sampled(self, sampled: bool) -> "Context":  # noqa: FBT001  # the flag itself
        """The same span, sampled or not; without a trace, itself."""
        if not self:
            return self
        flags = self.flags | _SAMPLED if sampled else self.flags & ~_SAMPLED
        return Context(f"{self.traceparent[:53]}{flags:02x}", self.state)


NO_TRACE = Context()
"""No context."""
