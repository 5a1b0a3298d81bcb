"""Traces: the W3C trace context of a turn, carried as text through the streams.

Without a collector nothing is recorded, but a caller's context still travels with its turn.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})")
_TRACER = trace.get_tracer("avatar-relay")


@contextmanager
def exporting(service: str, *, url: str, ratio: float | None) -> Iterator[None]:
    """Send spans to a collector while the block runs; flushed, within 5 s, when it ends.

    Args:
        service: Names the ``service.name`` of the resource, unless OTEL_SERVICE_NAME or
            OTEL_RESOURCE_ATTRIBUTES do, which count as they do for the SDK.
        url: Where the OTLP/HTTP collector takes traces; empty records nothing.
        ratio: Share of traces recorded when no caller decided; None: OTEL_TRACES_SAMPLER decides.
    """
    if not url:
        yield
        return
    # It quotes a header that is malformed, and headers are where the keys of collectors are.
    logging.getLogger("opentelemetry.util.re").disabled = True
    # Imported only when used: it brings an HTTP client and protobuf into every process otherwise.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"avatar-relay-{service}"}).merge(
            OTELResourceDetector().detect()
        ),
        sampler=None if ratio is None else ParentBased(TraceIdRatioBased(ratio)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=url, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


class Span:
    """One operation of a trace. Made by ``begin``."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        self.traceparent = carrier.get("traceparent", "")
        """What to pass on; empty when there is no trace to continue."""

    def end(self, **attributes: str | int) -> None:
        """The operation is over, with what became of it."""
        self._span.set_attributes(attributes)
        self._span.end()


def begin(
    name: str,
    *,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    parent: str = "",
    state: str = "",
    attributes: Mapping[str, str | int] | None = None,
) -> Span:
    """Begin a span.

    Args:
        name: Low cardinality: an operation, never an id.
        kind: Its role.
        parent: The ``traceparent`` it continues; empty, or anything else, begins a trace.
        state: The ``tracestate`` that came with it.
        attributes: What it is about.
    """
    context = _PROPAGATOR.extract({"traceparent": parent, "tracestate": state}) if parent else None
    return Span(_TRACER.start_span(name, context=context, kind=kind, attributes=dict(attributes or {})))


def is_sampled(traceparent: str) -> bool:
    """Whether spans of this trace are recorded, by its own flags; False for anything else."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match is not None and bool(int(match[1], 16) & 1)
