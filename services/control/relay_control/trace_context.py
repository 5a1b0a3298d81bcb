"""Trace context that callers bring: kept where it is one, left out and counted where it is not."""

from prometheus_client import Counter

from relay_wire import text

DROPPED_FIELDS = Counter(
    "relay_control_dropped_fields_total", "Optional fields left out, since their value was none.", ["field"]
)


def traceparent(given: str) -> str:
    """The caller's ``traceparent``; nothing when it brings none, or what is none."""
    kept = text.traceparent(given)
    if given and not kept:
        DROPPED_FIELDS.labels("traceparent").inc()
    return kept
