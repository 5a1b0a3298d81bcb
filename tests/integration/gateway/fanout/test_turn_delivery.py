"""Turns at a gateway: the span of each, the time of its first frames, and whether it was whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.rigs import otlp
from tests.rigs.gateway import GatewayRig, collect

from relay_gateway.fanout.meter import LATENCY
from relay_gateway.fanout.turn_delivery import FIRST_AUDIO, TURNS
from relay_telemetry import semconv, traces
from relay_telemetry.fast_histogram import FastHistogram
from relay_telemetry.traces import Context
from relay_turns.effects import Publish
from relay_wire import events
from relay_wire.frame import Kind

TRACE_ID, OTHER_ID = "a" * 32, "c" * 32
TRACE = Context(f"00-{TRACE_ID}-{'b' * 16}-01", "vendor=1")
OTHER = Context(f"00-{OTHER_ID}-{'d' * 16}-01")


@asynccontextmanager
async def collected() -> AsyncIterator[otlp.Collector]:
    """A collector of this process's spans; they are all there when the block has ended."""
    async with otlp.collector() as receiver:
        running = traces.exporting("gateway", url=f"{receiver.url}/v1/traces", ratio=0.0)
        await asyncio.to_thread(running.__enter__)
        try:
            yield receiver
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def publish(
    rig: GatewayRig, turn: int, *frames: events.StreamEvent | tuple[Kind, bytes], trace: Context
) -> None:
    """Publish frames with a context, all in one append."""
    rig.writer.append(
        [
            Publish(Kind.EVENT, turn, events.encode(each), 0)
            if not isinstance(each, tuple)
            else Publish(each[0], turn, each[1], 0)
            for each in frames
        ],
        checkpoint=b"",
        traces=[trace.encode()] * len(frames),
    )


def observations(histogram: FastHistogram) -> float:
    """How many it has."""
    [family] = histogram.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_count"))


async def test_the_span_of_a_turn(open_rig) -> None:
    """Its parent is the context on the frames, and it has the writes as events."""
    async with collected() as receiver, open_rig() as rig, rig.viewer() as viewer:
        await collect(viewer, 1)
        publish(rig, 1, events.TurnStarted(), (Kind.AUDIO, b"a" * 10), trace=TRACE)
        await collect(viewer, 2)
        publish(rig, 1, (Kind.MOTION, b"m" * 10), events.TurnEnded("complete"), trace=TRACE)
        await collect(viewer, 2)
        generation, conversation = rig.generation, rig.keys.id

    [span] = receiver.named(semconv.PROCESS_DOWN)
    assert (span.trace_id, span.parent_id, span.state) == (TRACE_ID, "b" * 16, "vendor=1")
    assert (span.kind, span.error, span.links) == ("CONSUMER", "", [])
    assert [event.name for event in span.events] == [
        semconv.FIRST_WRITE,
        semconv.FIRST_MOTION_WRITE,
        semconv.LAST_WRITE,
    ]
    assert span.start_ns == span.events[0].at_ns <= span.events[1].at_ns <= span.end_ns
    assert span.end_ns == span.events[2].at_ns
    assert span.attributes[semconv.MESSAGING_OPERATION_TYPE] == "process"
    assert {name: span.attributes[name] for name in span.attributes if name.startswith("relay.")} == {
        semconv.CONVERSATION: conversation,
        semconv.TURN: 1,
        semconv.GENERATION: generation,
        semconv.FRAMES: 4,
        semconv.VIEWERS: 1,
        semconv.OUTCOME: "whole",
    }


async def test_turns_in_one_batch_are_linked(open_rig) -> None:
    """The tail of one and the start of the next; a viewer more changes nothing but their number."""
    async with (
        collected() as receiver,
        open_rig() as rig,
        rig.viewer() as viewer,
        rig.viewer() as other,
    ):
        await asyncio.gather(collect(viewer, 1), collect(other, 1))
        publish(rig, 1, events.TurnStarted(), trace=TRACE)
        await collect(viewer, 1)
        publish(rig, 1, events.TurnEnded("complete"), trace=TRACE)
        publish(rig, 2, events.TurnStarted(), trace=OTHER)
        await collect(viewer, 2)
        publish(rig, 2, events.TurnEnded("complete"), trace=OTHER)
        await asyncio.gather(collect(viewer, 1), collect(other, 4))

    first, second = receiver.named(semconv.PROCESS_DOWN)
    assert (first.trace_id, second.trace_id) == (TRACE_ID, OTHER_ID)
    assert (first.attributes[semconv.VIEWERS], second.attributes[semconv.VIEWERS]) == (2, 2)
    assert [link.trace_id for link in first.links] == [OTHER_ID]
    assert [link.trace_id for link in second.links] == [TRACE_ID]


async def test_a_turn_that_the_gateway_does_not_see_end(open_rig) -> None:
    """Its span is recorded when the gateway closes the feed; the turn is not counted."""
    whole, interrupted = TURNS["whole"].value, TURNS["interrupted"].value
    async with collected() as receiver, open_rig() as rig, rig.viewer() as viewer:
        await collect(viewer, 1)
        publish(rig, 1, events.TurnStarted(), (Kind.AUDIO, b"a" * 10), trace=TRACE)
        await collect(viewer, 2)

    [span] = receiver.named(semconv.PROCESS_DOWN)
    assert span.attributes[semconv.OUTCOME] == "unfinished"
    assert [event.name for event in span.events] == [semconv.FIRST_WRITE, semconv.LAST_WRITE]
    assert (TURNS["whole"].value, TURNS["interrupted"].value) == (whole, interrupted)


async def test_no_span_of_a_turn_without_context(open_rig) -> None:
    """It is counted, and measured, as any other."""
    whole, audio = TURNS["whole"].value, observations(FIRST_AUDIO)
    latency = observations(LATENCY)
    async with collected() as receiver, open_rig() as rig, rig.viewer() as viewer:
        await collect(viewer, 1)
        publish(rig, 1, events.TurnStarted(received_at_ms=1), (Kind.AUDIO, b"a" * 10), trace=Context())
        publish(rig, 1, events.TurnEnded("complete"), trace=Context())
        await collect(viewer, 3)

    assert receiver.spans == []
    assert TURNS["whole"].value == whole + 1
    assert observations(FIRST_AUDIO) == audio + 1
    assert observations(LATENCY) > latency


async def test_a_slow_viewer_interrupts_the_turn(open_rig, eventually) -> None:
    """It is closed, and has not received the turn whole."""
    settings: dict[str, Any] = {"client_buffer_bytes": 65536, "slow_client_s": 0.1}
    interrupted = TURNS["interrupted"].value
    async with collected() as receiver, open_rig(**settings) as rig:
        socket = await rig.connect(slow=True)
        await socket.receive()
        publish(rig, 1, events.TurnStarted(), trace=TRACE)
        for _ in range(40):
            publish(rig, 1, (Kind.AUDIO, bytes(100_000)), trace=TRACE)
        await rig.writer.drained()
        await eventually(lambda: len(rig.service.hub) == 0 or socket.closed, within_s=10)
        publish(rig, 1, events.TurnEnded("complete"), trace=TRACE)
        await rig.writer.drained()
        await eventually(lambda: TURNS["interrupted"].value == interrupted + 1)

    [span] = receiver.named(semconv.PROCESS_DOWN)
    assert span.error == "slow_consumer"
    assert span.attributes[semconv.OUTCOME] == "interrupted"
