"""Traces: a task continues the trace of the event that it follows from."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig
from tests.rigs.otlp import collector

from relay_jobs.sender import Message
from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import Context

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = pytest.mark.timeout(150)

TRACE = Context(f"00-{'a' * 32}-{'b' * 16}-01")


async def test_a_task_continues_the_trace_of_its_event(jobs: Opened) -> None:
    """Event, send and process are one chain, by the conventions of messaging; a failed task is an error."""
    async with collector() as spans, jobs(otlp_endpoint=spans.url) as rig:
        await rig.worker()
        with traces.exporting("test", url=f"{spans.url}/v1/traces", ratio=0.0):
            await rig.sender.send([
                Message("test.note", ("one",), TRACE),
                Message("test.fail", (), TRACE),
                Message("test.note", ("untraced",)),
            ])  # fmt: skip
            await rig.until_notes("one", "untraced")
            await eventually(lambda: len(spans.named(semconv.PROCESS_TASK)) == 2, 20)
        await eventually(lambda: len(spans.named(semconv.SEND_TASK)) == 2, 20)

        sent = {span.attributes[semconv.TASK]: span for span in spans.named(semconv.SEND_TASK)}
        ran = {span.attributes[semconv.TASK]: span for span in spans.named(semconv.PROCESS_TASK)}
        for task in ("test.note", "test.fail"):
            assert (sent[task].kind, sent[task].parent_id) == ("PRODUCER", TRACE.span_id)
            assert (ran[task].kind, ran[task].parent_id) == ("CONSUMER", sent[task].span_id)
            assert ran[task].trace_id == sent[task].trace_id == TRACE.trace_id
            assert ran[task].attributes[semconv.MESSAGING_SYSTEM] == "redis"
            assert ran[task].attributes[semconv.MESSAGING_DESTINATION_NAME] == "tasks"
            assert ran[task].service == "avatar-relay-jobs-worker"
        assert (ran["test.note"].error, ran["test.fail"].error) == ("", "RuntimeError")


async def test_without_a_collector_the_trace_still_reaches_the_task(jobs: Opened) -> None:
    """Its log lines name it; nothing is recorded."""
    async with jobs() as rig:
        worker = await rig.worker()
        await rig.sender.send([Message("test.fail", (), TRACE)])

        await eventually(lambda: f'"trace_id": "{TRACE.trace_id}"' in worker.log_tail(100_000), 20)
