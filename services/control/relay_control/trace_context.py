"""Trace context that callers bring: kept where it is one, left out and counted where it is not."""

from relay_telemetry.counter import counter
from relay_wire import text

DROPPED_FIELDS = counter(
    "relay_control_dropped_fields_total",
    "Optional fields left out, since their value was none.",
    field=("traceparent",),
)


def traceparent(given: str) -> str:
    """The caller's ``traceparent``; nothing when it brings none, or what is none."""
    kept = text.traceparent(given)
    if given and not kept:
        DROPPED_FIELDS.labels("traceparent").inc()
    return kept
