"""Traces: what an OTLP collector receives, and what a process does whose collector does not answer."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from tests.rigs import otlp
from tests.rigs.metrics import metric

from relay_telemetry import semconv, trace_export, traces
from relay_telemetry.traces import Context, Event, SpanKind

pytestmark = pytest.mark.integration

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = Context(f"00-{TRACE_ID}-{SPAN_ID}-01", "vendor=1")
UNSAMPLED = Context(f"00-{TRACE_ID}-{SPAN_ID}-00", "vendor=1")
NONE = Context()


@asynccontextmanager
async def exporting(url: str, ratio: float | None = 0.0) -> AsyncIterator[None]:
    """Traces leave while the block runs. Its begin and its end block, as they do around a process's loop."""
    running = traces.exporting("test", url=f"{url}/v1/traces", ratio=ratio)
    await asyncio.to_thread(running.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def record(parent: Context, **options: Any) -> Context:
    return traces.record(semconv.SEND_UP, parent=parent, start_ns=1, end_ns=2, **options)


def dropped(reason: str) -> Callable[[], float]:
    """How many spans were dropped for a reason since now."""
    before = metric(traces.DROPPED, reason=reason)
    return lambda: metric(traces.DROPPED, reason=reason) - before


async def test_a_span_arrives_with_all_it_has() -> None:
    """Its times are the recorded ones, and the trace state of the caller goes along."""
    start = time.time_ns()
    other = Context(f"00-{'a' * 32}-{'b' * 16}-01", "other=2")
    async with otlp.collector() as receiver, exporting(receiver.url):
        context = traces.record(
            semconv.PROCESS_UP,
            kind=SpanKind.CONSUMER,
            parent=SAMPLED,
            start_ns=start,
            end_ns=start + 5,
            attributes={**semconv.processes("up"), semconv.TURN: 3, semconv.AUDIO_SECONDS: 0.5},
            events=[
                Event(semconv.FIRST_MOTION, start + 2, {semconv.FRAMES: 1}),
                Event("later", start + 3),
            ],
            links=[other, NONE],
            error="motion_failed",
        )

    [span] = receiver.spans
    assert span == otlp.Span(
        service="avatar-relay-test",
        instance=f"{socket.gethostname()}-{os.getpid()}",
        name="process up",
        kind="CONSUMER",
        trace_id=TRACE_ID,
        span_id=context.span_id,
        parent_id=SPAN_ID,
        state="vendor=1",
        start_ns=start,
        end_ns=start + 5,
        attributes={
            "messaging.system": "redis",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "up",
            "relay.turn": 3,
            "relay.audio_seconds": 0.5,
            "error.type": "motion_failed",
        },
        events=[
            otlp.Event("first motion", start + 2, {"relay.frames": 1}),
            otlp.Event("later", start + 3, {}),
        ],
        links=[otlp.Link("a" * 32, "b" * 16)],
        error="motion_failed",
    )
    assert context.state == "vendor=1"


async def test_the_span_has_the_ids_that_its_context_was_made_with() -> None:
    """Children may be recorded before it, in any order, and a trace may begin here."""
    async with otlp.collector() as receiver, exporting(receiver.url, ratio=1.0):
        turn = traces.new_context(NONE)
        motion = record(turn)
        assert record(NONE, context=turn) == turn

    assert {(span.span_id, span.parent_id) for span in receiver.trace(turn.trace_id)} == {
        (turn.span_id, ""),
        (motion.span_id, turn.span_id),
    }


async def test_the_ratio_is_of_trace_ids_as_opentelemetry_has_it() -> None:
    """So that every process, ours or not, decides the same about a trace."""
    sampler = TraceIdRatioBased(0.5)
    async with otlp.collector() as receiver, exporting(receiver.url, ratio=0.5):
        contexts = [traces.new_context(NONE) for _ in range(200)]

    for context in contexts:
        expected = sampler.should_sample(None, int(context.trace_id, 16), "turn").decision
        assert context.sampled == (expected is Decision.RECORD_AND_SAMPLE)
    assert len({context.sampled for context in contexts}) == 2


async def test_the_caller_decides_about_its_trace() -> None:
    async with otlp.collector() as receiver:
        async with exporting(receiver.url, ratio=0.0):
            chosen = record(SAMPLED, context=traces.new_context(SAMPLED))
        async with exporting(receiver.url, ratio=1.0):
            assert not record(UNSAMPLED, context=traces.new_context(UNSAMPLED)).sampled
            assert traces.new_context(UNSAMPLED).state == "vendor=1"

    assert [span.span_id for span in receiver.spans] == [chosen.span_id]


async def test_a_forced_turn_is_exported_although_the_sampler_decided_otherwise() -> None:
    """From then on, and with all that continues it: what was recorded before it stays unrecorded."""
    async with otlp.collector() as receiver, exporting(receiver.url, ratio=0.0):
        turn = traces.new_context(NONE)
        assert not turn.sampled
        record(turn)
        forced = traces.force(turn)
        later = record(forced)
        assert record(NONE, context=forced) == forced

    assert [span.span_id for span in receiver.trace(turn.trace_id)] == [later.span_id, turn.span_id]
    assert later.sampled
    assert later.trace_id == turn.trace_id


async def test_a_sampler_of_opentelemetry_counts_where_there_is_no_ratio(monkeypatch) -> None:
    """Also one that pays no heed to the caller; what continues the turn does."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    async with otlp.collector() as receiver, exporting(receiver.url, ratio=None):
        assert traces.new_context(NONE).sampled
        assert traces.new_context(UNSAMPLED).sampled
        assert not traces.child(UNSAMPLED).sampled


async def test_without_a_collector_the_context_of_a_caller_is_passed_on() -> None:
    assert not traces.enabled()
    for parent in (SAMPLED, UNSAMPLED):
        assert traces.new_context(parent) == traces.child(parent) == record(parent) == parent
    for parent in (NONE, Context("x", "vendor=1")):
        assert traces.new_context(parent) == traces.child(parent) == record(parent) == NONE


async def test_a_collector_that_hangs_blocks_no_task(monkeypatch) -> None:
    """What finds no room is dropped and counted, and the end waits within its bound alone."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setattr(trace_export, "CLOSE_S", 0.05)
    full, failed = dropped("full"), dropped("failed")
    async with otlp.collector() as receiver:
        receiver.hangs = True
        async with exporting(receiver.url):
            assert traces.enabled()
            for _ in range(4):
                record(SAMPLED)
            while not receiver.requests:
                await asyncio.sleep(0.01)
            for _ in range(20):
                record(SAMPLED)

        assert full() == 20 - 8
        assert failed() == 4 + 8
        assert receiver.spans == []


@pytest.mark.parametrize("status", [400, 503])
async def test_what_a_collector_refuses_is_counted(monkeypatch, status) -> None:
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.5)
    failed = dropped("failed")
    async with otlp.collector() as receiver:
        receiver.status = status
        async with exporting(receiver.url):
            record(SAMPLED)

    assert receiver.requests
    assert failed() == 1


async def test_where_nobody_listens_spans_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.5)
    failed = dropped("failed")
    async with otlp.collector() as receiver:
        gone = receiver.url
    async with exporting(gone):
        record(SAMPLED)

    assert failed() == 1
