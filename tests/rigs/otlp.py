"""An OTLP/HTTP receiver: keeps the spans that it receives, as plain values."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from relay_runtime.http import listen


class Event(NamedTuple):
    """An event of a span."""

    name: str
    at_ns: int
    attributes: dict[str, Any]


class Link(NamedTuple):
    """A link of a span."""

    trace_id: str
    span_id: str


class Span(NamedTuple):
    """A span as it was received; ids are hex digits."""

    service: str
    instance: str
    """Which process of the service."""
    name: str
    kind: str
    """As CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER."""
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: it begins its trace."""
    state: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[Event]
    links: list[Link]
    error: str
    """The message of its status; empty unless that is an error."""


class Collector:
    """What a receiver has received, and how it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self.requests = 0
        self.status = 200
        self.hangs = False
        """Whether it answers no request."""

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace, by their start."""
        return sorted(
            (span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start_ns
        )

    def named(self, name: str) -> list[Span]:
        """The spans with a name, by their start."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_ns)

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one export."""
        self.requests += 1
        body = await request.read()
        if self.hangs:
            await asyncio.Event().wait()
        if self.status == web.HTTPOk.status_code:
            self.spans += spans_of(body)
        return web.Response(
            status=self.status,
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """A receiver; ``url`` is what ``RELAY_OTLP_ENDPOINT`` takes."""
    receiver = Collector()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", receiver.receive)
    async with listen(app, "127.0.0.1", 0) as receiver.url:
        yield receiver


def spans_of(body: bytes) -> list[Span]:
    """The spans of one export request."""
    export = ExportTraceServiceRequest.FromString(body)
    return [
        _span(span, _attributes(resource.resource.attributes))
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: trace_pb2.Span, resource: dict[str, Any]) -> Span:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Span(
        service=str(resource.get("service.name", "")),
        instance=str(resource.get("service.instance.id", "")),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=[
            Event(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events
        ],
        links=[Link(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        error=span.status.message if failed else "",
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
