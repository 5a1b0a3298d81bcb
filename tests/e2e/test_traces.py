"""Traces: a turn's W3C context travels from the backend through the streams, and spans reach a collector."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from relay_redis.client import RedisClient
from relay_runtime.http import listen
from relay_streams.conversations import fields_of
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, dict[str, Span]]]:
    """An OTLP/HTTP receiver: its URL, and the spans it got, by name."""
    spans: dict[str, Span] = {}

    async def receive(request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                spans.update({span.name: span for span in scope.spans})
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with listen(app, "127.0.0.1", 0) as url:
        yield url, spans


async def test_one_trace_from_backend_to_stream(relay, speech, watching, eventually) -> None:
    """The caller's trace continues in control and ingest, and its context is a field of the turn's frames."""
    async with collector() as (url, spans):
        async with relay(settings={"RELAY_OTLP_ENDPOINT": url, "RELAY_TRACE_RATIO": "0"}) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            async with watching(seen):
                parent = f"00-{TRACE_ID}-b7ad6b7169203331-01"
                async with r.http.post(
                    f"{r.stack.control.url}/v1/conversations/{conversation}/turns",
                    data=speech,
                    headers={
                        "X-API-Key": r.stack.api_key,
                        "Content-Type": "audio/pcm",
                        "traceparent": parent,
                    },
                ) as response:
                    assert response.status == 202
                await eventually(lambda: 1 in seen.outcomes)
                await r.backend.post_turn(conversation, speech)  # without a caller's context: not sampled
                await eventually(lambda: 2 in seen.outcomes)
                async with RedisClient(r.stack.redis_url, SCHEMA, name="test") as client:
                    reply = await client.execute(
                        "XRANGE", KeySpace().conversation(conversation).down, "-", "+"
                    )
                await r.backend.end(conversation)

        entries = [fields_of(fields) for _, fields in reply]
        contexts = {fields.get(b"traceparent", b"").decode() for fields in entries if fields[b"f"][7] == 1}
        others = {fields.get(b"traceparent") for fields in entries if fields[b"f"][7] == 2}
        [context] = contexts
        assert context.split("-")[1] == TRACE_ID
        assert others == {None}

        assert set(spans) == {"speak", "turn"}
        assert spans["speak"].trace_id.hex() == spans["turn"].trace_id.hex() == TRACE_ID
        assert spans["speak"].parent_span_id.hex() == "b7ad6b7169203331"
        assert spans["turn"].parent_span_id == spans["speak"].span_id
        assert spans["turn"].span_id.hex() == context.split("-")[2]
        attributes = {a.key: a.value for a in spans["turn"].attributes}
        assert attributes["relay.conversation"].string_value == conversation
        assert attributes["outcome"].string_value == "complete"


async def test_opentelemetrys_own_variables(relay, speech, watching, eventually) -> None:
    """What a platform injects is enough, blank values of ours count as none, and tracestate goes along."""
    async with collector() as (url, spans):
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f" {url}/ ", "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "", "OTEL_SDK_DISABLED": "",
            "RELAY_OTLP_ENDPOINT": "", "RELAY_TRACE_RATIO": " ",
        }  # fmt: skip
        async with relay(workers=1, gateways=1, settings=settings) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            async with watching(seen):
                async with r.http.post(
                    f"{r.stack.control.url}/v1/conversations/{conversation}/turns",
                    data=speech,
                    headers={
                        "X-API-Key": r.stack.api_key,
                        "Content-Type": "audio/pcm",
                        "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01",
                        "tracestate": "vendor=1",
                    },
                ) as response:
                    assert response.status == 202
                await eventually(lambda: 1 in seen.outcomes)
                await r.backend.end(conversation)

        assert set(spans) >= {"speak", "turn"}
        assert spans["speak"].trace_state == "vendor=1"
        assert spans["speak"].trace_id.hex() == spans["turn"].trace_id.hex() == TRACE_ID
