"""Joining: one file and one WAV file, complete or absent, wherever the work is killed."""

import asyncio
import io
import wave
from contextlib import AsyncExitStack

import pytest
from tests.rigs.recorder import AUDIO, Recorder

from relay_jobs.recordings.joining import Stopped
from relay_streams.recordings import Claim
from relay_wire.recording.blocks import RecordingError


def go() -> bool:
    return True


async def copied(stack: AsyncExitStack, open_store, place, turns: int = 3) -> tuple[Recorder, Claim]:
    """A conversation that has ended, in several parts."""
    rig = await Recorder.open(stack, open_store, place)
    claim = await rig.claim()
    for number in range(1, turns + 1):
        await rig.turn(number)
        claim = await rig.copy(claim)
    await rig.end()
    await rig.recordings.release(claim, next_ms=0)
    return rig, await rig.copy(await rig.claim())


def killed_after(calls: int):
    """Stops the work at one of its pieces, as a kill does."""
    left = iter([True] * calls)
    return lambda: next(left, False)


async def test_the_files(open_store, place) -> None:
    """The recording, and the speech of all turns in order; the parts are gone."""
    async with AsyncExitStack() as stack:
        rig, claim = await copied(stack, open_store, place)

        index = await rig.join(claim)

        assert await rig.stored() == [rig.names.recording, rig.names.speech]
        items, read = await rig.read()
        assert (items, read) == (rig.published, index)
        with wave.open(io.BytesIO(await rig.bytes_of(rig.names.speech))) as speech:
            assert (speech.getframerate(), speech.readframes(1 << 20)) == (16000, AUDIO * 3)


@pytest.mark.parametrize("pieces", range(6))
async def test_killed_at_any_piece_nothing_is_lost(open_store, place, pieces: int) -> None:
    """A file is there whole or not at all, and the next attempt gives the same bytes."""
    async with AsyncExitStack() as stack:
        rig, claim = await copied(stack, open_store, place)
        with pytest.raises(Stopped):
            await rig.join(claim, killed_after(pieces))
        if rig.names.recording in await rig.stored():
            assert (await rig.read())[0] == rig.published
        else:
            assert [name for name in await rig.stored() if ".parts/" in name] == await rig.stored()

        await rig.join(claim)

        assert (await rig.read())[0] == rig.published
        assert await rig.stored() == [rig.names.recording, rig.names.speech]


async def test_killed_while_the_parts_are_removed(open_store, place) -> None:
    """The whole file stays: it is never made anew of the parts that are left."""
    async with AsyncExitStack() as stack:
        rig, claim = await copied(stack, open_store, place)
        parts = {name: await rig.bytes_of(name) for name in await rig.stored()}
        await rig.join(claim)
        name, data = parts.popitem()
        await asyncio.to_thread(place.storage.put, name, data)

        await rig.join(claim)

        assert (await rig.read())[0] == rig.published
        assert await rig.stored() == [rig.names.recording, rig.names.speech]


async def test_two_workers_join_at_once(open_store, place) -> None:
    """Both end with the same two files."""
    async with AsyncExitStack() as stack:
        rig, claim = await copied(stack, open_store, place)
        outcomes = await asyncio.gather(rig.join(claim), rig.join(claim), return_exceptions=True)

        # One may find that the other has removed a part: the next attempt finds the file.
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(failure, FileNotFoundError) for failure in failures)
        assert len(failures) < 2
        assert (await rig.read())[0] == rig.published
        assert await rig.stored() == [rig.names.recording, rig.names.speech]


async def test_a_damaged_part_is_an_error_and_stays(open_store, place) -> None:
    """No file is made of it, and whoever repairs it loses nothing."""
    async with AsyncExitStack() as stack:
        rig, claim = await copied(stack, open_store, place)
        name = (await rig.stored())[1]
        whole = await rig.bytes_of(name)
        await asyncio.to_thread(place.storage.put, name, whole[:-1])
        before = await rig.stored()
        with pytest.raises(RecordingError, match="cut short"):
            await rig.join(claim)
        assert await rig.stored() == before

        await asyncio.to_thread(place.storage.put, name, whole)
        await rig.join(claim)
        assert (await rig.read())[0] == rig.published


async def test_frames_that_are_gone_at_the_end_are_a_gap(open_store, place) -> None:
    """The record names the last frame, though the stream has expired."""
    async with AsyncExitStack() as stack:
        rig = await Recorder.open(stack, open_store, place)
        await rig.turn(1)
        claim = await rig.copy(await rig.claim())
        await rig.recordings.release(claim, next_ms=0)
        await rig.end()
        await rig.store.client.execute("DEL", rig.lease.keys.down)
        claim = await rig.copy(await rig.claim())

        index = await rig.join(claim)

        generation = rig.lease.generation
        assert [(gap.after, gap.to) for gap in index.gaps] == [(f"{generation}-6", f"{generation}-7")]
