"""Send spans: each speaker's request is one span, whatever ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.rigs import otlp

from relay_streams.errors import TurnClosed
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import TurnInput
from relay_streams.uplink import Uplink
from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import NO_TRACE, Context
from relay_wire.uplink import Interrupt

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = Context(f"00-{TRACE_ID}-b7ad6b7169203331-01", "vendor=1")


@asynccontextmanager
async def exporting(receiver: otlp.Collector, ratio: float = 0.0) -> AsyncIterator[None]:
    """Traces leave while the block runs, all of them at its end."""
    running = traces.exporting("test", url=f"{receiver.url}/v1/traces", ratio=ratio)
    await asyncio.to_thread(running.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def speaker(up: Uplink, keys: ConversationKeys, trace: Context = NO_TRACE) -> TurnInput:
    return TurnInput(
        uplink=up, keys=keys, source="socket", wait_s=1, chunk_bytes=2, buffer_bytes=0, key="k", trace=trace
    )


async def test_a_turn_is_one_span(open_store) -> None:
    """From its first piece to its end; the entry that opens the turn has the span's context."""
    async with open_store() as store, otlp.collector() as receiver:
        keys = await store.create()
        async with exporting(receiver):
            speech = speaker(Uplink(store.client), keys, SAMPLED)
            await speech.append(b"aaaa")
            await speech.append(b"bb", end=True)
            speech.finish("ignored")
        first = (await store.entries(keys.up))[0][1]

    [span] = receiver.spans
    assert (span.name, span.kind, span.parent_id, span.state) == (
        "send up", "PRODUCER", SAMPLED.span_id, "vendor=1",
    )  # fmt: skip
    assert span.attributes == semconv.sends("up") | {
        semconv.CONVERSATION: keys.id, semconv.TURN: 1, semconv.SOURCE: "socket", semconv.AUDIO_BYTES: 6,
    }  # fmt: skip
    assert first[b"traceparent"].decode() == f"00-{TRACE_ID}-{span.span_id}-01"
    assert (first[b"tracestate"], first[b"source"]) == (b"vendor=1", b"socket")
    assert not span.error


async def test_an_error_ends_the_span(open_store) -> None:
    async with open_store() as store, otlp.collector() as receiver:
        keys = await store.create()
        async with exporting(receiver, ratio=1.0):
            up = Uplink(store.client)
            speech = speaker(up, keys)
            await speech.append(b"aa")
            await up.append(keys, Interrupt(reason="viewer"))
            with pytest.raises(TurnClosed):
                await speech.append(b"bb")

    [span] = receiver.spans
    assert (span.error, span.parent_id, span.attributes[semconv.AUDIO_BYTES]) == ("TurnClosed", "", 2)


async def test_a_turn_that_is_left_and_resumed(open_store) -> None:
    """Each request has a span; one that resumes without a context has none, as it belongs to no trace."""
    async with open_store() as store, otlp.collector() as receiver:
        keys = await store.create()
        async with exporting(receiver, ratio=1.0):
            up = Uplink(store.client)
            for trace in (SAMPLED, NO_TRACE, SAMPLED):
                speech = speaker(up, keys, trace)
                found = await up.find(keys, key="k")
                if found is not None:
                    speech.resume(found)
                await speech.append(b"aa")
                speech.finish()
        entries = await store.entries(keys.up)

    assert [span.attributes[semconv.AUDIO_BYTES] for span in receiver.spans] == [2, 2]
    assert [b"traceparent" in fields for _, fields in entries] == [True, False, True]


async def test_what_never_began_has_no_span(open_store) -> None:
    async with open_store() as store, otlp.collector() as receiver, exporting(receiver, ratio=1.0):
        speaker(Uplink(store.client), await store.create()).finish()

    assert not receiver.spans
