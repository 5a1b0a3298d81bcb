"""What stops the avatar acts at once, whatever waits before it; beside a real owner, on both servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.rigs.audio import RATE
from tests.rigs.ingest import WorkerRig, open_workers

from relay_wire import events, uplink
from relay_wire.frame import Kind

TENTH = b"\x01\x02" * (RATE // 10)
FORTY_SECONDS = TENTH * 400


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[WorkerRig]:
        async with open_store() as store, open_workers(store, **settings) as opened:
            yield opened

    return made


async def test_what_was_interrupted_before_anybody_owned_it_is_never_spoken(bench) -> None:
    """Speech and interrupt waited for an owner together."""
    async with bench() as b:
        keys = await b.store.create()
        await b.up.append_speech(keys, offset=0, pcm=FORTY_SECONDS, end=True, entry_bytes=len(TENTH))
        await b.up.append(keys, uplink.Interrupt(reason="viewer"))
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await b.until_outcome(keys, 2) == "complete"
        assert {frame.turn for frame in await b.frames(keys)} == {0, 2}


@pytest.mark.parametrize("barge_in", [False, True])
async def test_an_interrupt_overtakes_what_waits(bench, barge_in: bool) -> None:  # noqa: FBT001
    """Forty seconds of speech are in the stream before it, and the owner has begun to read them."""
    async with bench() as b, b.worker():
        keys = await b.store.create()
        await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        assert await b.until_outcome(keys, 1) == "complete"
        stop = (
            b.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
            if barge_in
            else b.up.append(keys, uplink.Interrupt(reason="viewer"))
        )
        await asyncio.gather(
            b.up.append_speech(
                keys, offset=0, pcm=FORTY_SECONDS, end=True, barge_in=True, entry_bytes=len(TENTH)
            ),
            stop,
        )  # fmt: skip
        if not barge_in:
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        assert await b.until_outcome(keys, 3) == "complete"

        assert len(await b.audio(keys, 2)) < len(FORTY_SECONDS)
        published = await b.published(keys, 2)
        assert published == [] or published[-2:] == [
            events.Interrupted("barge_in" if barge_in else "viewer"), events.TurnEnded("interrupted"),
        ]  # fmt: skip
        assert await b.audio(keys, 3) == TENTH


async def test_an_interrupt_after_the_computed_end_is_published_once(bench) -> None:
    """A viewer that joined late still plays the turn; the next owner knows of the interrupt."""
    async with bench() as b:
        keys = await b.store.create()
        async with b.worker():
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await b.until_outcome(keys, 1) == "complete"
            # The next turn shows that the machine takes this one for over.
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await b.until_outcome(keys, 2) == "complete"
            await b.up.append(keys, uplink.Interrupt(reason="viewer"))
            await b.until(keys, events.Interrupted("viewer"))
        async with b.worker():
            await b.up.append(keys, uplink.Interrupt(reason="viewer"))
            await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await b.until_outcome(keys, 3) == "complete"
        interrupted = [
            f.turn
            for f in await b.frames(keys)
            if f.kind is Kind.EVENT and b"interrupted" in bytes(f.payload)
        ]
        assert interrupted == [2]


async def test_turns_that_barge_in_one_behind_the_other(bench) -> None:
    """Audio of the next turn never comes before the last one's `interrupted`."""
    async with bench() as b, b.worker():
        keys = await b.store.create()
        for _ in range(20):
            await b.up.append_speech(keys, offset=0, pcm=TENTH * 3, end=True, barge_in=True)
        assert await b.until_outcome(keys, 20) == "complete"
        turns = [frame.turn for frame in await b.frames(keys) if frame.turn]
        assert turns == sorted(turns)
        for turn in set(turns) - {20}:
            assert (await b.published(keys, turn)).count(events.Interrupted("barge_in")) == 1


async def test_one_viewer_that_has_finished_ends_nothing_for_another(bench) -> None:
    """The second is known to be behind: the next turn waits for its report."""
    async with bench() as b, b.worker():
        keys = await b.store.create()
        await b.up.append_speech(keys, offset=0, pcm=TENTH * 5, end=True)
        assert await b.until_outcome(keys, 1) == "complete"
        await b.up.append(keys, uplink.Playback(1, "stalled", 0, "late"))
        await b.up.append(keys, uplink.Playback(1, "finished", 500, "quick"))
        await b.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        await b.up.append(keys, uplink.Playback(1, "finished", 500, "late"))
        assert await b.until_outcome(keys, 2) == "complete"
        frames = await b.frames(keys)
        first = min(f.published_at_us for f in frames if f.turn == 1 and f.kind is Kind.AUDIO)
        second = min(f.published_at_us for f in frames if f.turn == 2)
        assert second - first >= 500_000, "never before the computed end"
