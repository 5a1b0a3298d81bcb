"""Speech output: chunks of any length, buffered, bounded, always ended; on both servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.rigs.audio import RATE, SECOND
from tests.rigs.eventually import eventually

from relay_ingest.agents.speech_output import AgentTimeout, SpeechLimits, SpeechOutput, SpeechTooLong
from relay_runtime.tasks import TaskScope
from relay_streams.conversations import read
from relay_streams.errors import Fenced, SpeakerBusy, TurnClosed
from relay_streams.keys import ConversationKeys
from relay_streams.leases import Lease
from relay_streams.scripts.append_speech import SpeakerFence
from relay_streams.uplink import Uplink
from relay_wire import uplink


@dataclass
class SpeechRig:
    """A speech output, and the audio it appended."""

    output: SpeechOutput
    store: Any
    lease: Lease
    closed: bool = False

    @property
    def keys(self) -> ConversationKeys:
        return self.lease.keys

    async def source(self, *chunks: bytes, pause: bool = False) -> AsyncIterator[bytes]:
        """An agent's generator."""
        try:
            for chunk in chunks:
                yield chunk
            if pause:
                await asyncio.Event().wait()
        finally:
            self.closed = True

    async def stream(self, chunks: bytes | AsyncIterator[bytes], **options: bool) -> None:
        await self.output.stream(chunks, **{"barge_in": False, "real_time": False, **options})

    async def appended(self) -> bytes:
        entries = [uplink.decode(fields) for _, fields in await self.store.entries(self.keys.up)]
        return b"".join(entry.pcm for entry in entries if isinstance(entry, uplink.SpeechChunk))

    async def state(self) -> tuple[int, str]:
        record = await read(self.store.client, self.keys)
        return record.input_turn, record.input_state

    async def until_ended(self) -> None:
        await eventually(self.state, until=lambda found: found[1] == "ended")


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""

    @asynccontextmanager
    async def made(*, chunk_s: float = 5.0, speech_s: float = 60.0) -> AsyncIterator[SpeechRig]:
        async with open_store() as store, TaskScope() as tasks:
            lease = await store.claim(await store.create(agent="echo"))
            output = SpeechOutput(
                Uplink(store.client), lease.keys, sample_rate=RATE,
                fence=lambda: SpeakerFence(lease.generation, "0-0"),
                limits=SpeechLimits(chunk_s=chunk_s, speech_s=speech_s, wait_s=1.0),
                spawn=lambda coroutine: tasks.spawn(coroutine, name="output"),
            )  # fmt: skip
            yield SpeechRig(output, store, lease)

    return made


async def test_chunks_cut_anywhere(bench) -> None:
    """Also in the middle of a sample; no samples, no turn."""
    async with bench() as b:
        await b.stream(b.source())
        await b.stream(b.source(b"", b"x"))
        assert await b.state() == (0, "ended")
        await b.stream(b.source(SECOND[:7], b"", SECOND[7:8], SECOND[8:10_001], SECOND[10_001:]))

        assert await b.state() == (1, "ended")
        assert await b.appended() == SECOND
        assert b.closed


async def test_real_time_is_gathered(bench, eventually) -> None:
    """Nothing before four seconds are in, or all of it; in every turn again."""
    async with bench() as b, TaskScope() as tasks:
        for turn in (1, 2):
            gate = asyncio.Event()

            async def slowly(gate: asyncio.Event = gate) -> AsyncIterator[bytes]:
                for _ in range(7):
                    yield SECOND[: len(SECOND) // 2]
                await gate.wait()
                yield SECOND[: len(SECOND) // 2]
                yield SECOND

            before = await b.appended()
            speech = tasks.spawn(b.stream(slowly(), real_time=True), name="speech")
            for _ in range(20):
                await b.store.client.execute("PING")
            assert await b.appended() == before
            gate.set()
            await speech
            assert len(await b.appended()) == len(before) + 5 * len(SECOND)
            assert await b.state() == (turn, "ended")
        await b.stream(b.source(SECOND), real_time=True)
        assert await b.state() == (3, "ended")


async def test_a_pause_ends_the_turn(bench) -> None:
    """With what is in; the generator is closed."""
    async with bench(chunk_s=0.1) as b:
        with pytest.raises(AgentTimeout):
            await b.stream(b.source(SECOND, pause=True))
        assert b.closed
        await b.until_ended()
        assert await b.appended() == SECOND


async def test_the_longest_speech(bench) -> None:
    """Cut to the sample."""
    async with bench(speech_s=2.5) as b:
        with pytest.raises(SpeechTooLong):
            await b.stream(b.source(*[SECOND] * 9))
        await b.until_ended()
        assert await b.appended() == SECOND * 2 + SECOND[: len(SECOND) // 2]
        assert b.closed


async def test_cancelled_in_the_middle(bench) -> None:
    """The turn ends, and the next speech need not wait for anything."""
    async with bench() as b:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await b.stream(b.source(SECOND, pause=True))
        assert b.closed
        await b.stream(b.source(SECOND))
        assert await b.state() == (2, "ended")
        assert await b.appended() == SECOND * 2


async def test_what_is_refused(bench) -> None:
    """While a backend speaks, after an interrupt nobody heard of, after another owner came."""
    async with bench() as b:
        up = Uplink(b.store.client)
        await up.append_speech(b.keys, offset=0, pcm=SECOND, end=False)
        with pytest.raises(SpeakerBusy):
            await b.stream(b.source(SECOND))
        await up.append_speech(b.keys, turn=1, offset=len(SECOND), pcm=b"", end=True)
        await up.append(b.keys, uplink.Interrupt(reason="viewer"))
        with pytest.raises(TurnClosed):
            await b.stream(b.source(SECOND))
        await b.store.registry().release(b.lease)
        await b.store.claim(b.keys, "heir")
        with pytest.raises(Fenced):
            await b.stream(b.source(SECOND))
        with pytest.raises(Fenced):
            await b.output.interrupt()
        assert await b.appended() == SECOND


async def test_the_former_agents_turn(bench) -> None:
    """It is ended by the next owner's speech output; a backend's is left alone."""
    async with bench() as b:
        await Uplink(b.store.client).append_speech(b.keys, key="agent:x", offset=0, pcm=SECOND, end=False)
        b.output.end_former_turn(await read(b.store.client, b.keys))
        await b.until_ended()
        await Uplink(b.store.client).append_speech(b.keys, key="x", offset=0, pcm=SECOND, end=False)
        b.output.end_former_turn(await read(b.store.client, b.keys))
        with pytest.raises(SpeakerBusy):
            await b.stream(b.source(SECOND))
