"""Traces: a turn's W3C context travels from the backend through the streams, and spans reach a collector."""

import signal
from typing import Any

from tests.rigs import otlp

from relay_redis.client import RedisClient
from relay_streams.conversations import fields_of
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire.frame import Kind

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


async def post_turn(relay: Any, conversation: str, speech: bytes, *, sampled: bool) -> None:
    """As a backend that brings its own context."""
    async with relay.http.post(
        f"{relay.stack.control.url}/v1/conversations/{conversation}/turns",
        data=speech,
        headers={
            "X-API-Key": relay.stack.api_key,
            "Content-Type": "audio/pcm",
            "traceparent": f"00-{TRACE_ID}-{CALLER}-0{int(sampled)}",
            "tracestate": "vendor=1",
        },
    ) as response:
        assert response.status == 202


async def frames_of(relay: Any, conversation: str, turn: int) -> list[dict[bytes, bytes]]:
    """The stream fields of a turn's frames."""
    async with RedisClient(relay.stack.redis_url, SCHEMA, name="test") as client:
        reply = await client.execute("XRANGE", KeySpace().conversation(conversation).down, "-", "+")
    entries = [fields_of(fields) for _, fields in reply]
    return [fields for fields in entries if fields[b"f"][7] == turn]


async def test_one_trace_from_backend_to_stream(relay, speech, watching, eventually) -> None:
    """The caller's trace continues in control and ingest, and its context is a field of the turn's frames."""
    async with otlp.collector() as receiver:
        async with relay(settings={"RELAY_OTLP_ENDPOINT": receiver.url, "RELAY_TRACE_RATIO": "0"}) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            async with watching(seen):
                await post_turn(r, conversation, speech, sampled=True)
                await eventually(lambda: 1 in seen.outcomes)
                await r.backend.post_turn(conversation, speech)  # without a caller's context: not sampled
                await eventually(lambda: 2 in seen.outcomes)
                stored = await frames_of(r, conversation, 1)
                others = await frames_of(r, conversation, 2)
                await r.backend.end(conversation)

        up, process, down, motion = (
            receiver.named(name)[0] for name in ("send up", "process up", "send down", "motion")
        )
        assert {span.trace_id for span in receiver.spans} == {TRACE_ID}
        assert {span.state for span in receiver.spans} == {"vendor=1"}
        assert (up.service, up.kind, up.parent_id) == ("avatar-relay-control", "PRODUCER", CALLER)
        assert (process.service, process.kind, process.parent_id) == (
            "avatar-relay-ingest",
            "CONSUMER",
            up.span_id,
        )
        assert (down.kind, down.parent_id) == ("PRODUCER", process.span_id)
        assert (motion.kind, motion.parent_id) == ("CLIENT", process.span_id)
        assert process.attributes["relay.conversation"] == conversation
        assert process.attributes["relay.outcome"] == "complete"
        assert process.attributes["relay.source"] == "post"
        assert up.start_ns <= process.start_ns <= down.end_ns <= process.end_ns
        assert {(fields[b"traceparent"], fields[b"tracestate"]) for fields in stored} == {
            (f"00-{TRACE_ID}-{down.span_id}-01".encode(), b"vendor=1")
        }
        assert not any(b"traceparent" in fields or b"tracestate" in fields for fields in others)


async def test_a_turn_whose_owner_is_killed(relay, speech, watching, eventually) -> None:
    """The next owner continues the trace, below the speaker's span; the killed owner's spans are lost."""
    async with otlp.collector() as receiver:
        settings = {"RELAY_OTLP_ENDPOINT": receiver.url, "RELAY_TRACE_RATIO": "0"}
        async with relay(speed=1.0, settings=settings) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            async with watching(seen):
                await post_turn(r, conversation, speech * 3, sampled=True)
                await eventually(lambda: seen.of(Kind.MOTION, 1))
                (await r.owner_of(conversation)).signal(signal.SIGKILL)
                await eventually(lambda: 1 in seen.outcomes)
                stored = await frames_of(r, conversation, 1)
                await r.backend.end(conversation)

        [up], [process] = receiver.named("send up"), receiver.named("process up")
        assert (process.trace_id, process.parent_id) == (TRACE_ID, up.span_id)
        assert process.attributes["relay.reason"] == "owner_changed"
        assert process.attributes["relay.outcome"] == "audio_only"
        assert process.attributes["relay.generation"] == max(f.generation for f in seen.frames)
        assert not receiver.named("motion")
        contexts = {fields[b"traceparent"].decode()[3:35] for fields in stored}
        assert contexts == {TRACE_ID}, "frames of both owners"


async def test_a_turn_that_fails_is_recorded(relay, speech, watching, eventually) -> None:
    """Although its caller did not sample it: Motion Server closed its session in mid-turn."""
    async with otlp.collector() as receiver:
        settings = {"RELAY_OTLP_ENDPOINT": receiver.url, "RELAY_TRACE_RATIO": "0"}
        async with relay(workers=1, gateways=1, settings=settings) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            await r.simulator("POST", "faults", at="session", fault="close", after_payloads=1)
            async with watching(seen):
                await post_turn(r, conversation, speech, sampled=False)
                await eventually(lambda: 1 in seen.outcomes)
                await r.backend.end(conversation)

        assert seen.outcomes == {1: "audio_only"}
        [process], [motion] = receiver.named("process up"), receiver.named("motion")
        assert (process.trace_id, process.attributes["relay.forced"]) == (TRACE_ID, "audio_only")
        assert motion.error == process.attributes["relay.reason"]
        assert not receiver.named("send up"), "that was over before"


async def test_opentelemetrys_own_variables(relay, speech, watching, eventually) -> None:
    """What a platform injects is enough, and blank values of ours count as none."""
    async with otlp.collector() as receiver:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f" {receiver.url}/ ", "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "", "OTEL_SDK_DISABLED": "",
            "RELAY_OTLP_ENDPOINT": "", "RELAY_TRACE_RATIO": " ",
        }  # fmt: skip
        async with relay(workers=1, gateways=1, settings=settings) as r:
            conversation = await r.converse()
            seen = await r.watch(conversation)
            async with watching(seen):
                await post_turn(r, conversation, speech, sampled=True)
                await eventually(lambda: 1 in seen.outcomes)
                await r.backend.end(conversation)

        assert {"send up", "process up", "send down", "motion"} <= {span.name for span in receiver.spans}
        assert {span.state for span in receiver.spans} == {"vendor=1"}
        assert {span.trace_id for span in receiver.spans} == {TRACE_ID}
