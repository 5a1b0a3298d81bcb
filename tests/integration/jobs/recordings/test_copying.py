"""Copying: every frame reaches the storage, whatever is killed, repeated or late."""

from contextlib import AsyncExitStack

import pytest
from tests.rigs.recorder import AUDIO, Recorder

from relay_jobs.recordings import copying
from relay_jobs.recordings.copying import copy
from relay_jobs.recordings.metrics import BYTES, GAPS, PARTS
from relay_streams.recordings import Claim
from relay_wire.recording.contents import Gap


async def finished(rig: Recorder, claim: Claim) -> list[bytes | Gap]:
    """The frames of the finished file."""
    await rig.join(claim)
    return (await rig.read())[0]


@pytest.mark.parametrize("turns", [1, 5])
async def test_turns_are_copied_in_one_or_several_runs(open_store, place, turns: int) -> None:
    """The parts have every frame once, over a change of owners."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place)
        for number in range(1, turns + 1):
            await rig.turn(number)
            if number == 2:
                await rig.change_owner(stack)
            claim = await rig.copy(await rig.claim())
            await rig.recordings.release(claim, next_ms=0)
        await rig.end()
        claim = await rig.copy(await rig.claim())

        assert await finished(rig, claim) == rig.published


async def test_jobs_that_were_away_for_several_turns_miss_nothing(open_store, place) -> None:
    """The stream keeps what waits; it is copied in bounded parts."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place)
        for number in range(1, 9):
            await rig.turn(number)
        await rig.end()
        parts, copied_bytes = PARTS._value.get(), BYTES._value.get()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(copying, "PART_BYTES", 8000)
            claim = await rig.copy(await rig.claim())

        assert len(await rig.stored()) == PARTS._value.get() - parts > 3
        assert BYTES._value.get() - copied_bytes == sum(map(len, rig.published))
        assert await finished(rig, claim) == rig.published


async def test_a_copy_that_was_killed_before_the_cursor_moved(open_store, place) -> None:
    """The next one stores a longer part; the file has each frame once."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place)
        await rig.turn(1)
        dead = await rig.claim()
        page = await rig.recordings.read(dead, dead.cursor, 1 << 20)
        await copying._store(rig.names, page, rig.place.storage)
        await rig.turn(2)
        await rig.end()
        await rig.recordings.release(dead, next_ms=0)

        claim = await rig.copy(await rig.claim("b"))

        assert len(await rig.stored()) == 2
        assert await finished(rig, claim) == rig.published


async def test_two_workers_copy_the_same(open_store, place) -> None:
    """The one whose claim has ended moves no cursor, and its part adds nothing."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place, claim_ms=1)
        await rig.turn(1)
        slow = await rig.claim("slow")
        await rig.turn(2)
        await rig.end()
        fast = await eventually_taken(rig)
        fast = await rig.copy(fast)

        assert await copy(slow, rig.recordings, rig.place.storage) is None

        assert await finished(rig, fast) == rig.published


async def eventually_taken(rig: Recorder):
    for _ in range(100):
        claim = await rig.recordings.claim(rig.lease.keys.id, "fast")
        if claim is not None:
            return claim
    raise AssertionError


async def test_what_the_byte_limit_removed_is_a_gap(open_store, place) -> None:
    """Explicit in the file and its index, and counted: never silent."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place, retention=10_000)
        gaps = GAPS._value.get()
        await rig.turn(1)
        claim = await rig.copy(await rig.claim())
        await rig.recordings.release(claim, next_ms=0)
        for number in range(2, 9):
            await rig.turn(number)
        await rig.end()
        claim = await rig.copy(await rig.claim())

        items = await finished(rig, claim)
        index = (await rig.read())[1]
        kept = [item for item in items if isinstance(item, bytes)]
        assert kept == rig.published[:6] + rig.published[-(len(kept) - 6) :]
        assert 6 < len(kept) < len(rig.published)
        assert len(index.gaps) == 1
        assert index.gaps[0].after == f"{rig.lease.generation}-6"
        assert GAPS._value.get() == gaps + 1


async def test_entries_of_other_programs_are_passed_over(open_store, place) -> None:
    """They are no frames, and the frames behind them are copied."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place)
        await rig.turn(1)
        await rig.end()
        after = f"{rig.lease.generation}-{rig.writer.last_position.seq + 1}"
        await rig.store.client.execute("XADD", rig.lease.keys.down, after, "f", b"no frame", "x", "y")

        claim = await rig.copy(await rig.claim())

        assert str(claim.cursor) == after
        assert await finished(rig, claim) == rig.published


def test_the_audio_of_the_rig_is_whole_samples() -> None:
    """As that of every conversation."""
    assert len(AUDIO) % 4 == 0
