"""Export of traces: spans made from recorded times, queued within a bound, and sent by a thread.

Nothing here waits for the collector: a span that finds the queue full is dropped and counted, and the end of
the process waits ``CLOSE_S`` at most. Imported only where spans leave, since it brings an HTTP client and
protobuf into the process.
"""

import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence

import structlog
from opentelemetry.context import Context as SdkContext
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import AttributeValue
from prometheus_client import Counter

from relay_settings import environment
from relay_telemetry import semconv
from relay_telemetry.trace_context import Context, Event

TIMEOUT_S = 5.0
"""How long one request to the collector may take. OTEL_EXPORTER_OTLP_TIMEOUT does not count: by the
specification it is in milliseconds, by this SDK in seconds."""
QUEUE_SPANS = 2048
"""Most spans that wait, unless OTEL_BSP_MAX_QUEUE_SIZE has another value."""
BATCH_SPANS = 512
"""Most spans of one request, unless OTEL_BSP_MAX_EXPORT_BATCH_SIZE has another value."""
CLOSE_S = 5.0
"""How long the end of the process waits for the spans that are left."""
_RANDOM = 2
"""The trace flag of an id that is random, which samplers rely on."""

log = structlog.get_logger(__name__)


class SpanRecorder:
    """Makes spans and sends them to a collector.

    Args:
        service: Names the ``service.name`` of the resource, unless OTEL_SERVICE_NAME or
            OTEL_RESOURCE_ATTRIBUTES do. Its ``service.instance.id`` is the host's name and the process id.
        url: Where the OTLP/HTTP collector accepts traces.
        ratio: Share of traces sampled when no caller decided; None: OTEL_TRACES_SAMPLER decides.
        dropped: Counts spans that are not exported, by reason.
    """

    def __init__(self, service: str, *, url: str, ratio: float | None, dropped: Counter) -> None:
        resource = Resource.create({
            "service.name": f"avatar-relay-{service}",
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        })  # fmt: skip
        self._sampler = _sampler(ratio)
        self._random = RandomIdGenerator()
        self._ids = _GivenIds()
        self._queue = _SpanQueue(url, dropped)
        # What is recorded was sampled by the other one, or is exported whatever that decided.
        provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),
            sampler=ALWAYS_ON,
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._queue)
        self._tracer = provider.get_tracer("avatar-relay")

    def new_context(self, parent: Context) -> Context:
        """A span of the parent's trace, or of a new one, sampled as the sampler decides."""
        if parent:
            context = self.child(parent)
        else:
            trace_id, span_id = self._random.generate_trace_id(), self._random.generate_span_id()
            context = Context(f"00-{trace_id:032x}-{span_id:016x}-{_RANDOM:02x}")
        decided = self._sampler.should_sample(
            _sdk_context(parent), int(context.trace_id, 16), "turn"
        ).decision
        return context.with_sampled(decided is Decision.RECORD_AND_SAMPLE)

    def child(self, parent: Context) -> Context:
        """A further span of the parent's trace, sampled as the parent is."""
        return parent.child(f"{self._random.generate_span_id():016x}")

    def record(
        self,
        name: str,
        *,
        kind: SpanKind,
        parent: Context,
        context: Context,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, AttributeValue],
        events: Iterable[Event],
        links: Iterable[Context],
        error: str,
    ) -> None:
        """Queue a span with the ids of its context; everything as ``traces.record``."""
        self._ids.next = context
        span = self._tracer.start_span(
            name,
            context=_sdk_context(parent if parent.trace_id == context.trace_id else Context()),
            kind=kind,
            attributes=attributes,
            links=[Link(_span_context(link)) for link in links if link],
            start_time=start_ns,
        )
        for event in events:
            span.add_event(event.name, event.attributes, event.at_ns)
        if error:
            span.set_attribute(semconv.ERROR_TYPE, error)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left, for ``CLOSE_S`` at most. Blocks; further spans are lost."""
        self._queue.close()


class _GivenIds(IdGenerator):
    """Gives the next span the ids of a context that was made before it."""

    next = Context()

    def generate_span_id(self) -> int:
        return int(self.next.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self.next.trace_id, 16)

    def is_trace_id_random(self) -> bool:
        return bool(self.next.flags & _RANDOM)


class _SpanQueue(SpanProcessor):
    """The SDK's queue and thread, which drop the oldest span unseen; this drops the newest, and counts it."""

    def __init__(self, url: str, dropped: Counter) -> None:
        variables = environment.values()
        self._limit = int(variables.get(OTEL_BSP_MAX_QUEUE_SIZE, QUEUE_SPANS))
        self._dropped = dropped
        self._exporter = _CountingExporter(OTLPSpanExporter(endpoint=url, timeout=TIMEOUT_S), dropped)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=self._limit,
            max_export_batch_size=min(
                self._limit, int(variables.get(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, BATCH_SPANS))
            ),
        )
        self._accepted = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Part of ``SpanProcessor``. Runs on the event loop, and never waits."""
        if self._waiting >= self._limit:
            self._dropped.labels("full").inc()
            return
        self._accepted += 1
        self._processor.on_end(span)

    @property
    def _waiting(self) -> int:
        """How many spans the exporter's thread has not fetched: two numbers, each written by one thread."""
        return self._accepted - self._exporter.fetched

    def close(self) -> None:
        """Send what is left, for ``CLOSE_S`` at most."""
        # The SDK itself would wait half a minute for a collector that hangs.
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        lost = self._accepted - self._exporter.finished
        if lost:
            self._dropped.labels("failed").inc(lost)
            log.warning("spans are lost: the collector does not answer", spans=lost)


class _CountingExporter(SpanExporter):
    """Counts the spans that an exporter fetches, and those that it cannot send."""

    def __init__(self, exporter: SpanExporter, dropped: Counter) -> None:
        self._exporter = exporter
        self._dropped = dropped
        self.fetched = 0
        """Spans that have left the queue."""
        self.finished = 0
        """Those of them that were sent, or counted as failed."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Part of ``SpanExporter``. Runs on the processor's thread."""
        self.fetched += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self._dropped.labels("failed").inc(len(spans))
            self.finished += len(spans)
        return result

    def shutdown(self) -> None:
        """Part of ``SpanExporter``."""
        self._exporter.shutdown()


def _sampler(ratio: float | None) -> Sampler:
    if ratio is not None:
        return ParentBased(TraceIdRatioBased(ratio))
    return TracerProvider(shutdown_on_exit=False).sampler  # as OTEL_TRACES_SAMPLER has it


def _sdk_context(parent: Context) -> SdkContext:
    if not parent:
        return SdkContext()
    return set_span_in_context(NonRecordingSpan(_span_context(parent)), SdkContext())


def _span_context(context: Context) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.state]),
    )
