"""Trace context of callers: passed on if it is valid, else left out and counted."""

from aiohttp import web

from relay_telemetry.counter import counter
from relay_telemetry.trace_context import Context
from relay_wire import text

DROPPED_FIELDS = counter(
    "relay_control_dropped_fields_total",
    "Optional fields ignored because their value was malformed.",
    field=("traceparent", "tracestate"),
)


def context(traceparent: str, tracestate: str = "") -> Context:
    """The caller's context; none when it is missing or malformed."""
    kept = Context(text.traceparent(traceparent), text.tracestate(tracestate))
    if traceparent and not kept.traceparent:
        DROPPED_FIELDS.labels("traceparent").inc()
    if tracestate and not kept.state:
        DROPPED_FIELDS.labels("tracestate").inc()
    return kept if kept.traceparent else Context()


def context_of(request: web.Request) -> Context:
    """The context in the headers of a request."""
    headers = request.headers
    return context(headers.get("traceparent", ""), ",".join(headers.getall("tracestate", [])))
