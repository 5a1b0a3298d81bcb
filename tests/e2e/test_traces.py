"""Traces: what an OTLP receiver has of a turn from all processes, and the context in the turn's frames.

``make trace-test`` does the same with a Jaeger.
"""

import signal
from typing import Any

from tests.e2e import expected_trace, traced_turns
from tests.rigs import otlp

from relay_redis.client import RedisClient
from relay_streams.conversations import fields_of
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA


def settings_of(receiver: otlp.Collector) -> dict[str, str]:
    """Only turns are sampled whose caller did."""
    return {"RELAY_OTLP_ENDPOINT": receiver.url, "RELAY_TRACE_RATIO": "0", "RELAY_TRACE_SLOW_S": "0"}


async def frames_of(relay: Any, conversation: str) -> list[dict[bytes, bytes]]:
    """The stream fields of the frames of a conversation's turn."""
    async with RedisClient(relay.stack.redis_url, SCHEMA, name="test") as client:
        reply = await client.execute("XRANGE", KeySpace().conversation(conversation).down, "-", "+")
    entries = [fields_of(fields) for _, fields in reply]
    return [fields for fields in entries if fields[b"f"][7] == 1]


async def test_a_turn(relay, speech, watching) -> None:
    """One trace from the caller's request to the last write of two gateways; none of a turn not sampled."""
    async with otlp.collector() as receiver, relay(workers=1, settings=settings_of(receiver)) as r:
        turn = await traced_turns.posted(r, watching, speech)
        other = await traced_turns.posted(r, watching, speech, sampled=False)
        stored = await frames_of(r, turn.conversation)
        unsampled = await frames_of(r, other.conversation)

    assert {span.trace_id for span in receiver.spans} == {turn.trace_id}
    expected_trace.assert_whole(receiver.spans, turn)
    [down] = receiver.named("send down")
    assert {(fields.get(b"traceparent"), fields.get(b"tracestate")) for fields in stored} == {
        (f"00-{turn.trace_id}-{down.span_id}-01".encode(), turn.state.encode())
    }
    assert unsampled
    assert not any(b"traceparent" in fields or b"tracestate" in fields for fields in unsampled)


async def test_a_turn_whose_owner_leaves(relay, speech, watching) -> None:
    """One trace with the spans of both owners, and links to a second request and to the frames of both."""
    async with otlp.collector() as receiver:
        settings = settings_of(receiver) | traced_turns.CROSSING
        async with relay(settings=settings) as r:
            turn = await traced_turns.crossed(r, watching, speech, signal.SIGTERM)

    expected_trace.assert_handed_over(receiver.spans, turn)


async def test_a_turn_whose_owner_is_killed(relay, speech, watching) -> None:
    """One trace, which the next owner continues; what the killed one had recorded is lost."""
    async with otlp.collector() as receiver, relay(settings=settings_of(receiver)) as r:
        turn = await traced_turns.crossed(r, watching, speech, signal.SIGKILL)

    expected_trace.assert_killed(receiver.spans, turn)


async def test_a_turn_that_continues_without_motion(relay, speech, watching) -> None:
    """Nobody had sampled it: Motion Server closed its session, and from then on all of it is recorded."""
    async with otlp.collector() as receiver, relay(workers=1, settings=settings_of(receiver)) as r:
        await r.simulator("POST", "faults", at="session", fault="close", after_payloads=1)
        turn = await traced_turns.posted(r, watching, speech, sampled=False)

    expected_trace.assert_forced(receiver.spans, turn)


async def test_opentelemetrys_own_variables(relay, speech, watching) -> None:
    """What a platform injects is enough, and blank values of ours count as none."""
    async with otlp.collector() as receiver:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f" {receiver.url}/ ", "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "", "OTEL_SDK_DISABLED": "",
            "RELAY_OTLP_ENDPOINT": "", "RELAY_TRACE_RATIO": " ",
        }  # fmt: skip
        async with relay(workers=1, settings=settings) as r:
            turn = await traced_turns.posted(r, watching, speech)

    expected_trace.assert_whole(receiver.spans, turn)
