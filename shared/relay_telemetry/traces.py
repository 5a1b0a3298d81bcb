"""Traces: spans of a turn, made from recorded times, and the W3C context that travels with the turn.

Where a turn enters, ``new_context`` makes its context, and decides whether the turn is sampled; whoever
continues it asks ``child``. A span is recorded when what it is about has ended. ``force`` has the spans of a
turn exported from then on although it was not sampled.

Without a collector nothing is recorded, but a caller's context still travels with its turn.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from relay_telemetry.counter import counter
from relay_telemetry.trace_context import Attribute, Context, Event

if TYPE_CHECKING:
    from relay_telemetry.trace_export import SpanRecorder

__all__ = [
    "Attribute", "Context", "Event", "SpanKind",
    "child", "enabled", "exporting", "force", "new_context", "record",
]  # fmt: skip

DROPPED = counter(
    "relay_traces_dropped_total",
    "Spans not exported: the queue was full, or the collector did not accept them.",
    reason=("full", "failed"),
)


class _Tracing:
    recorder: "SpanRecorder | None" = None


_TRACING = _Tracing()


@contextmanager
def exporting(service: str, *, url: str, ratio: float | None) -> Iterator[None]:
    """Send spans to a collector while the block runs; what is left is sent, within 5 s, when it ends.

    Args:
        service: Names the ``service.name`` of the resource, unless OTEL_SERVICE_NAME or
            OTEL_RESOURCE_ATTRIBUTES do, which count as they do for the SDK.
        url: Where the OTLP/HTTP collector accepts traces; empty records nothing.
        ratio: Share of traces sampled when no caller decided; None: OTEL_TRACES_SAMPLER decides.
    """
    if not url:
        yield
        return
    # It quotes a header that is malformed, and headers are where the keys of collectors are.
    logging.getLogger("opentelemetry.util.re").disabled = True
    from relay_telemetry.trace_export import SpanRecorder  # noqa: PLC0415  # only where spans leave

    recorder = SpanRecorder(service, url=url, ratio=ratio, dropped=DROPPED)
    _TRACING.recorder = recorder
    try:
        yield
    finally:
        _TRACING.recorder = None
        recorder.close()


def enabled() -> bool:
    """Whether spans leave this process: without that, nobody needs to record times for them."""
    return _TRACING.recorder is not None


def new_context(parent: Context) -> Context:
    """The context of a turn that enters here, before its span is recorded; the sampler decides about it.

    Args:
        parent: Brought by the caller; without one a trace begins. Where spans do not leave, it is returned.
    """
    recorder = _TRACING.recorder
    if recorder is None:
        return parent or Context()
    return recorder.new_context(parent)


def child(parent: Context) -> Context:
    """The context of a span that continues a turn, before the span is recorded; sampled as the parent is.

    Args:
        parent: As the turn brought it; without one, as ``new_context``.
    """
    recorder = _TRACING.recorder
    return recorder.child(parent) if recorder is not None and parent else new_context(parent)


def force(context: Context) -> Context:
    """The same context, sampled: spans that are recorded with it or with its children are exported."""
    return context.with_sampled(True)


def record(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context,
    context: Context | None = None,
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, Attribute] | None = None,
    events: Iterable[Event] = (),
    links: Iterable[Context] = (),
    error: str = "",
) -> Context:
    """Record a span that has ended, if its context is sampled. Never blocks; returns its context.

    Args:
        name: Of ``semconv``: an operation and its destination, never an id.
        kind: Its role.
        parent: What it continues; none begins a trace.
        context: Its own, from ``new_context`` or ``child`` of the parent; None: a child of the parent.
        start_ns: Wall time, as ``time.time_ns``.
        end_ns: Likewise.
        attributes: What it is about, by the names of ``semconv``.
        events: What happened during it, in any order.
        links: Further contexts that led to it. Those that are none do not count.
        error: Why the operation failed, of low cardinality; empty: it did not.
    """
    own = context or child(parent)
    recorder = _TRACING.recorder
    if recorder is not None and own.sampled:
        recorder.record(
            name,
            kind=kind,
            parent=parent,
            context=own,
            start_ns=start_ns,
            end_ns=end_ns,
            attributes=attributes or {},
            events=events,
            links=links,
            error=error,
        )
    return own
