"""Turn traces: what a collector receives of turns at their owners, and what the frames and the log have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.rigs import otlp
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers
from tests.rigs.metrics import metric
from tests.rigs.store import at_clean_store

from relay_ingest import turn_trace
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.append_speech import Appended
from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import Context
from relay_wire.frame import Kind

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = Context(f"00-{TRACE_ID}-b7ad6b7169203331-01", "vendor=1")
UNSAMPLED = SAMPLED.with_sampled(False)
SECOND = bytes(32_000)


@asynccontextmanager
async def exporting(receiver: otlp.Collector) -> AsyncIterator[None]:
    """Traces leave while the block runs, all of them at its end."""
    running = traces.exporting("test", url=f"{receiver.url}/v1/traces", ratio=0.0)
    await asyncio.to_thread(running.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""
    return at_clean_store(open_store, open_workers, lease_ms=400)


async def speak(b: WorkerRig, keys: ConversationKeys, trace: Context, *, end: bool = True) -> Appended:
    return await b.up.append_speech(
        keys, offset=0, pcm=SECOND * 2, end=end, trace=trace.encode(), source="socket", barge_in=True
    )


async def contexts(b: WorkerRig, keys: ConversationKeys, turn: int) -> list[tuple[str, str]]:
    """The trace context of each frame of a turn."""
    return [
        (fields.get(b"traceparent", b"").decode(), fields.get(b"tracestate", b"").decode())
        for _, fields in await b.store.entries(keys.down)
        if fields[b"f"][7] == turn
    ]


async def test_a_sampled_turn(bench) -> None:
    """Its spans, each below the one before it, and the context of its frames, state and all."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker():
            turn, _ = await speak(b, keys, SAMPLED)
            assert await b.until_outcome(keys, turn) == "complete"
            stored = await contexts(b, keys, turn)

        process, send, motion = (receiver.named(name)[0] for name in ("process up", "send down", "motion"))
        assert len(receiver.trace(TRACE_ID)) == len(receiver.spans) == 3
        assert (process.parent_id, send.parent_id, motion.parent_id) == (
            SAMPLED.span_id, process.span_id, process.span_id,
        )  # fmt: skip
        assert {span.state for span in receiver.spans} == {"vendor=1"}
        assert set(stored) == {(f"00-{TRACE_ID}-{send.span_id}-01", "vendor=1")}
        assert process.attributes[semconv.OUTCOME] == "complete"
        assert process.attributes[semconv.SOURCE] == "socket"
        assert (send.attributes[semconv.FRAMES], send.attributes[semconv.AUDIO_BYTES]) == (
            len(stored), len(SECOND) * 2,
        )  # fmt: skip
        assert [event.name for event in motion.events] == ["session opened", "first motion"]
        assert process.start_ns <= motion.start_ns <= motion.events[0].at_ns <= motion.events[1].at_ns
        assert motion.end_ns <= process.end_ns


async def test_a_turn_that_is_not_sampled(bench) -> None:
    """Nothing of it leaves, and its frames have no field for it."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker():
            turn, _ = await speak(b, keys, UNSAMPLED)
            assert await b.until_outcome(keys, turn) == "complete"
            assert set(await contexts(b, keys, turn)) == {("", "")}

        assert not receiver.spans


async def test_without_a_collector(bench) -> None:
    """Frames carry no context, of a sampled turn either, and the log line still names its trace."""
    async with bench() as b:
        keys = await b.store.create()
        with capture_logs() as logs:
            async with b.worker():
                turn, _ = await speak(b, keys, SAMPLED)
                assert await b.until_outcome(keys, turn) == "complete"
                assert set(await contexts(b, keys, turn)) == {("", "")}

        [line] = [entry for entry in logs if entry["event"] == "turn ended"]
        assert (line["conversation"], line["turn"], line["outcome"]) == (keys.id, turn, "complete")
        assert (line["trace_id"], line["source"], line["audio_s"]) == (TRACE_ID, "socket", 2.0)
        assert line["motion_bytes"] > 0
        assert {"first_audio_ms", "first_motion_ms", "motion_lead_min_ms", "motion_session_s"} <= line.keys()
        assert "reason" not in line


async def test_a_turn_without_motion_is_recorded(bench) -> None:
    """In its own trace, although it was not sampled; its frames carry the flag from the switch on.

    The line of the failure names the turn and its trace.
    """
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker(SPATIUS_API_KEY="wrong"):
            with capture_logs() as logs:
                turn, _ = await speak(b, keys, UNSAMPLED)
                assert await b.until_outcome(keys, turn) == "audio_only"
            [line] = [entry for entry in logs if entry["event"] == "motion failed"]
            assert (line["conversation"], line["turn"], line["trace_id"]) == (keys.id, turn, TRACE_ID)
            stored = await contexts(b, keys, turn)

        assert len(receiver.trace(TRACE_ID)) == len(receiver.spans) == 3
        process, motion = receiver.named("process up")[0], receiver.named("motion")[0]
        assert process.attributes[semconv.FORCED] == "audio_only"
        assert (
            motion.error == motion.events[-1].attributes[semconv.CODE] == process.attributes[semconv.REASON]
        )
        assert motion.events[-1].name == "failed"
        assert stored[0] == ("", "")
        assert stored[-1] == (f"00-{TRACE_ID}-{receiver.named('send down')[0].span_id}-01", "vendor=1")


async def test_a_turn_that_fails_is_recorded(bench) -> None:
    """Its audio stopped before its end."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker(input_timeout_s=1):
            turn, _ = await speak(b, keys, UNSAMPLED, end=False)
            assert await b.until_outcome(keys, turn) == "failed"
            stored = await contexts(b, keys, turn)

        [process] = receiver.named("process up")
        assert (process.trace_id, process.error) == (TRACE_ID, "input_timeout")
        assert process.attributes[semconv.FORCED] == "failed"
        assert stored[-1][0].endswith("-01"), "gateways see the flag with the turn's end"


async def test_a_slow_turn_is_recorded(bench) -> None:
    """Its first motion came later than the setting, which here is every turn's."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker(trace_slow_s=0.000001):
            turn, _ = await speak(b, keys, UNSAMPLED)
            assert await b.until_outcome(keys, turn) == "complete"
        async with exporting(receiver), b.worker(trace_slow_s=0):
            turn, _ = await speak(b, keys, UNSAMPLED)
            assert await b.until_outcome(keys, turn) == "complete"

        assert [span.attributes[semconv.FORCED] for span in receiver.named("process up")] == ["slow"]


async def test_further_speech_of_another_request(bench) -> None:
    """A link leads to it."""
    other = Context(f"00-{'a' * 32}-{'b' * 16}-01")
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker():
            turn, offset = await speak(b, keys, SAMPLED, end=False)
            await b.up.append_speech(
                keys, turn=turn, offset=offset, pcm=SECOND, end=True, trace=other.encode()
            )
            assert await b.until_outcome(keys, turn) == "complete"

        assert receiver.named("process up")[0].links == [otlp.Link("a" * 32, "b" * 16)]


async def test_a_turn_that_changes_its_owner(bench) -> None:
    """The next owner's span is in the same trace, below the same parent, and names its worker."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver):
            async with b.worker(drain_s=0.05):
                turn, offset = await speak(b, keys, UNSAMPLED, end=False)
                await eventually(lambda: b.audio(keys, turn), 5, until=lambda pcm: len(pcm) == offset)
            async with b.worker():
                await b.up.append_speech(keys, turn=turn, offset=offset, pcm=SECOND, end=True)
                with capture_logs() as logs:
                    assert await b.until_outcome(keys, turn) == "audio_only"

        [process] = receiver.named("process up")
        assert (process.trace_id, process.parent_id) == (TRACE_ID, SAMPLED.span_id)
        assert process.attributes[semconv.FORCED] == "audio_only"
        assert process.attributes[semconv.REASON] == "owner_changed"
        [line] = [entry for entry in logs if entry["event"] == "turn ended"]
        assert (line["owner_changes"], line["trace_id"]) == (1, TRACE_ID)
        assert process.attributes[semconv.GENERATION] == line["generation"]


async def test_a_sampled_turn_that_is_handed_over(bench) -> None:
    """Both owners' spans are there, one after the other."""
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver):
            async with b.worker(drain_s=0.05):
                turn, offset = await speak(b, keys, SAMPLED, end=False)
                await eventually(lambda: b.audio(keys, turn), 5, until=lambda pcm: len(pcm) == offset)
            async with b.worker():
                await b.up.append_speech(keys, turn=turn, offset=offset, pcm=SECOND, end=True)
                assert await b.until_outcome(keys, turn) == "audio_only"

        former, latter = receiver.named("process up")
        assert (former.attributes[semconv.OUTCOME], latter.attributes[semconv.OUTCOME]) == (
            "left",
            "audio_only",
        )
        assert former.attributes[semconv.GENERATION] < latter.attributes[semconv.GENERATION]
        assert {span.trace_id for span in receiver.spans} == {TRACE_ID}
        assert {former.parent_id, latter.parent_id} == {SAMPLED.span_id}


async def test_a_turn_that_changes_its_owner_while_another_waits(bench) -> None:
    """The record's input trace is that of the turn opened last; each turn continues its own trace."""
    other = Context(f"00-{'a' * 32}-{'b' * 16}-01")
    async with bench() as b, otlp.collector() as receiver, aiohttp.ClientSession() as http:
        keys = await b.store.create()
        fault = {"at": "session", "fault": "stall"}
        async with http.post(f"{b.vendor}/admin/faults", json=fault) as armed:
            assert armed.ok
        async with exporting(receiver):
            async with b.worker(drain_s=0.05):
                turn, _ = await speak(b, keys, SAMPLED)
                await eventually(lambda: b.audio(keys, turn), 5)
                waiting, _ = await b.up.append_speech(
                    keys, offset=0, pcm=SECOND, end=True, trace=other.encode()
                )
            async with b.worker():
                assert await b.until_outcome(keys, turn) == "audio_only"
                assert await b.until_outcome(keys, waiting) == "complete"

        outcomes = [
            (span.trace_id, span.attributes[semconv.OUTCOME]) for span in receiver.named("process up")
        ]
        assert outcomes == [(TRACE_ID, "left"), (TRACE_ID, "audio_only"), (other.trace_id, "complete")]


async def test_barging_in(bench) -> None:
    """The frames that end the interrupted turn have its context, those of the next turn theirs."""
    other = Context(f"00-{'a' * 32}-{'b' * 16}-01")
    async with bench() as b, otlp.collector() as receiver:
        keys = await b.store.create()
        async with exporting(receiver), b.worker():
            first, _ = await speak(b, keys, SAMPLED, end=False)
            await eventually(lambda: b.audio(keys, first), 5)
            second, _ = await speak(b, keys, other)
            assert await b.until_outcome(keys, second) == "complete"
            for turn, context in ((first, SAMPLED), (second, other)):
                assert {trace[3:35] for trace, _ in await contexts(b, keys, turn)} == {context.trace_id}

        former, _ = receiver.named("process up")
        assert former.attributes[semconv.REASON] == "barge_in"


def observed(histogram: Any, **labels: str) -> float:
    """How many observations a histogram has."""
    return metric(histogram, le="+Inf", **labels)


async def test_the_metrics_of_a_turn(bench) -> None:
    """A turn is observed once; motion's lead once for each payload."""
    once = (turn_trace.FIRST_AUDIO_SECONDS, turn_trace.FIRST_MOTION_SECONDS)
    async with bench() as b:
        keys = await b.store.create()
        before, leads = [observed(one) for one in once], observed(turn_trace.LEAD_SECONDS)
        ended = observed(turn_trace.TURN_SECONDS, outcome="complete")
        async with b.worker():
            turn, _ = await speak(b, keys, SAMPLED)
            assert await b.until_outcome(keys, turn) == "complete"

        payloads = sum(found.kind is Kind.MOTION for found in await b.frames(keys))
        assert [observed(one) for one in once] == [value + 1 for value in before]
        assert observed(turn_trace.TURN_SECONDS, outcome="complete") == ended + 1
        assert observed(turn_trace.LEAD_SECONDS) == leads + payloads > leads
