"""Speech output: chunks of any length, buffered, bounded, always ended; on every server."""

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
def open_rig(open_store):
    """``async with open_rig() as rig``."""

    @asynccontextmanager
    async def opened(*, chunk_s: float = 5.0, speech_s: float = 60.0) -> AsyncIterator[SpeechRig]:
        async with open_store() as store, TaskScope() as tasks:
            lease = await store.claim(await store.create(agent="echo"))
            output = SpeechOutput(
                Uplink(store.client), lease.keys, sample_rate=RATE,
                fence=lambda: SpeakerFence(lease.generation, "0-0"),
                limits=SpeechLimits(chunk_s=chunk_s, speech_s=speech_s, wait_s=1.0),
                spawn=lambda coroutine: tasks.spawn(coroutine, name="output"),
            )  # fmt: skip
            yield SpeechRig(output, store, lease)

    return opened


async def test_chunks_cut_anywhere(open_rig) -> None:
    """Also in the middle of a sample; no samples, no turn."""
    async with open_rig() as rig:
        await rig.stream(rig.source())
        await rig.stream(rig.source(b"", b"x"))
        assert await rig.state() == (0, "ended")
        await rig.stream(rig.source(SECOND[:7], b"", SECOND[7:8], SECOND[8:10_001], SECOND[10_001:]))

        assert await rig.state() == (1, "ended")
        assert await rig.appended() == SECOND
        assert rig.closed


async def test_real_time_is_gathered(open_rig, eventually) -> None:
    """Nothing before four seconds are in, or all of it; in every turn again."""
    async with open_rig() as rig, TaskScope() as tasks:
        for turn in (1, 2):
            gate = asyncio.Event()

            async def slowly(gate: asyncio.Event = gate) -> AsyncIterator[bytes]:
                for _ in range(7):
                    yield SECOND[: len(SECOND) // 2]
                await gate.wait()
                yield SECOND[: len(SECOND) // 2]
                yield SECOND

            before = await rig.appended()
            speech = tasks.spawn(rig.stream(slowly(), real_time=True), name="speech")
            for _ in range(20):
                await rig.store.client.execute("PING")
            assert await rig.appended() == before
            gate.set()
            await speech
            assert len(await rig.appended()) == len(before) + 5 * len(SECOND)
            assert await rig.state() == (turn, "ended")
        await rig.stream(rig.source(SECOND), real_time=True)
        assert await rig.state() == (3, "ended")


async def test_a_pause_ends_the_turn(open_rig) -> None:
    """With what is in; the generator is closed."""
    async with open_rig(chunk_s=0.1) as rig:
        with pytest.raises(AgentTimeout):
            await rig.stream(rig.source(SECOND, pause=True))
        assert rig.closed
        await rig.until_ended()
        assert await rig.appended() == SECOND


async def test_the_longest_speech(open_rig) -> None:
    """Cut to the sample."""
    async with open_rig(speech_s=2.5) as rig:
        with pytest.raises(SpeechTooLong):
            await rig.stream(rig.source(*[SECOND] * 9))
        await rig.until_ended()
        assert await rig.appended() == SECOND * 2 + SECOND[: len(SECOND) // 2]
        assert rig.closed


async def test_cancelled_in_the_middle(open_rig) -> None:
    """The turn ends, and the next speech need not wait for anything."""
    async with open_rig() as rig:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await rig.stream(rig.source(SECOND, pause=True))
        assert rig.closed
        await rig.stream(rig.source(SECOND))
        assert await rig.state() == (2, "ended")
        assert await rig.appended() == SECOND * 2


async def test_what_is_refused(open_rig) -> None:
    """While a backend speaks, after an unread interrupt, and after a change of owners."""
    async with open_rig() as rig:
        up = Uplink(rig.store.client)
        await up.append_speech(rig.keys, offset=0, pcm=SECOND, end=False)
        with pytest.raises(SpeakerBusy):
            await rig.stream(rig.source(SECOND))
        await up.append_speech(rig.keys, turn=1, offset=len(SECOND), pcm=b"", end=True)
        await up.append(rig.keys, uplink.Interrupt(reason="viewer"))
        with pytest.raises(TurnClosed):
            await rig.stream(rig.source(SECOND))
        await rig.store.registry().release(rig.lease)
        await rig.store.claim(rig.keys, "heir")
        with pytest.raises(Fenced):
            await rig.stream(rig.source(SECOND))
        with pytest.raises(Fenced):
            await rig.output.interrupt()
        assert await rig.appended() == SECOND


async def test_the_former_agents_turn(open_rig) -> None:
    """It is ended by the next owner's speech output; a backend's is left alone."""
    async with open_rig() as rig:
        await Uplink(rig.store.client).append_speech(rig.keys, key="agent:x", offset=0, pcm=SECOND, end=False)
        rig.output.end_former_turn(await read(rig.store.client, rig.keys))
        await rig.until_ended()
        await Uplink(rig.store.client).append_speech(rig.keys, key="x", offset=0, pcm=SECOND, end=False)
        rig.output.end_former_turn(await read(rig.store.client, rig.keys))
        with pytest.raises(SpeakerBusy):
            await rig.stream(rig.source(SECOND))
