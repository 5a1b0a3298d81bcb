"""What stops the avatar acts at once, whatever waits before it; beside a real owner, on every server."""

import asyncio

import pytest
from tests.rigs.audio import RATE
from tests.rigs.ingest import open_workers
from tests.rigs.store import at_clean_store

from relay_wire import events, uplink
from relay_wire.frame import Kind

TENTH = b"\x01\x02" * (RATE // 10)
FORTY_SECONDS = TENTH * 400


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers)


async def test_what_was_interrupted_before_anybody_owned_it_is_never_spoken(open_rig) -> None:
    """Speech and interrupt waited for an owner together."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        await rig.up.append_speech(keys, offset=0, pcm=FORTY_SECONDS, end=True, entry_bytes=len(TENTH))
        await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
        async with rig.worker():
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await rig.until_outcome(keys, 2) == "complete"
        assert {frame.turn for frame in await rig.frames(keys)} == {0, 2}


@pytest.mark.parametrize("barge_in", [False, True])
async def test_an_interrupt_overtakes_what_waits(open_rig, barge_in: bool) -> None:  # noqa: FBT001
    """Forty seconds of speech are in the stream before it, and the owner has begun to read them."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.store.create()
        await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        assert await rig.until_outcome(keys, 1) == "complete"
        stop = (
            rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
            if barge_in
            else rig.up.append(keys, uplink.Interrupt(reason="viewer"))
        )
        await asyncio.gather(
            rig.up.append_speech(
                keys, offset=0, pcm=FORTY_SECONDS, end=True, barge_in=True, entry_bytes=len(TENTH)
            ),
            stop,
        )  # fmt: skip
        if not barge_in:
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        assert await rig.until_outcome(keys, 3) == "complete"

        assert len(await rig.audio(keys, 2)) < len(FORTY_SECONDS)
        published = await rig.published(keys, 2)
        assert published == [] or published[-2:] == [
            events.Interrupted("barge_in" if barge_in else "viewer"), events.TurnEnded("interrupted"),
        ]  # fmt: skip
        assert await rig.audio(keys, 3) == TENTH


async def test_an_interrupt_after_the_computed_end_is_published_once(open_rig) -> None:
    """A viewer that joined late still plays the turn; the next owner knows of the interrupt."""
    async with open_rig() as rig:
        keys = await rig.store.create()
        async with rig.worker():
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await rig.until_outcome(keys, 1) == "complete"
            # The next turn shows that the machine takes this one for over.
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await rig.until_outcome(keys, 2) == "complete"
            await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
            await rig.until(keys, events.Interrupted("viewer"))
        async with rig.worker():
            await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
            await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
            assert await rig.until_outcome(keys, 3) == "complete"
        interrupted = [
            f.turn
            for f in await rig.frames(keys)
            if f.kind is Kind.EVENT and b"interrupted" in bytes(f.payload)
        ]
        assert interrupted == [2]


async def test_turns_that_barge_in_one_behind_the_other(open_rig) -> None:
    """Audio of the next turn never comes before the last one's `interrupted`."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.store.create()
        for _ in range(20):
            await rig.up.append_speech(keys, offset=0, pcm=TENTH * 3, end=True, barge_in=True)
        assert await rig.until_outcome(keys, 20) == "complete"
        turns = [frame.turn for frame in await rig.frames(keys) if frame.turn]
        assert turns == sorted(turns)
        for turn in set(turns) - {20}:
            assert (await rig.published(keys, turn)).count(events.Interrupted("barge_in")) == 1


async def test_one_viewer_that_has_finished_ends_nothing_for_another(open_rig) -> None:
    """The second is known to be behind: the next turn waits for its report."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.store.create()
        await rig.up.append_speech(keys, offset=0, pcm=TENTH * 5, end=True)
        assert await rig.until_outcome(keys, 1) == "complete"
        await rig.up.append(keys, uplink.Playback(1, "stalled", 0, "late"))
        await rig.up.append(keys, uplink.Playback(1, "finished", 500, "quick"))
        await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True)
        await rig.up.append(keys, uplink.Playback(1, "finished", 500, "late"))
        assert await rig.until_outcome(keys, 2) == "complete"
        frames = await rig.frames(keys)
        first = min(f.published_at_us for f in frames if f.turn == 1 and f.kind is Kind.AUDIO)
        second = min(f.published_at_us for f in frames if f.turn == 2)
        # Frames have wall times, and the end is computed by the loop's clock: the system adjusts one of them.
        assert second - first >= 498_000, "never before the computed end"
