"""Owners: the turn's phase and end in the record, for readers other than the next owner."""

import time
from collections.abc import AsyncIterator

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.ingest import WorkerRig, open_workers

from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_wire import events, uplink

SECOND = bytes(2 * 16000)


@pytest.fixture
async def rig(open_store) -> AsyncIterator[WorkerRig]:
    """A store and a vendor."""

    async with open_store() as store, open_workers(store) as rig:
        yield rig


async def record_in(rig: WorkerRig, keys, phase: str) -> Conversation:
    """The record, once its turn is in this phase."""
    return await eventually(
        lambda: conversations.read(rig.store.client, keys),
        within_s=20,
        until=lambda record: record.turn_phase == phase,
    )


async def test_the_record_has_the_turns_phase_and_end(rig) -> None:
    """A turn is current from its first frame to the end computed from its audio; an interrupt ends it."""
    async with rig.worker():
        keys = await rig.store.create()
        turn = (await rig.up.append_speech(keys, offset=0, pcm=SECOND, end=False)).turn
        speaking = await record_in(rig, keys, "speaking")
        assert speaking.is_turn_current(0)
        assert speaking.turn_ends_at_ms == 0

        before_ms = time.time_ns() // 1_000_000
        await rig.up.append_speech(keys, turn=turn, offset=len(SECOND), pcm=SECOND * 19, end=True)
        playing = await record_in(rig, keys, "playing")
        after_ms = time.time_ns() // 1_000_000
        assert before_ms < playing.turn_ends_at_ms <= after_ms + 20_000
        assert playing.is_turn_current(playing.turn_ends_at_ms - 1)
        assert not playing.is_turn_current(playing.turn_ends_at_ms)

        await rig.up.append(keys, uplink.Interrupt(reason="backend"))
        await rig.until(keys, events.Interrupted("backend"))
        idle = await record_in(rig, keys, "idle")
        assert not idle.is_turn_current(0)


async def test_the_next_owner_sets_the_turns_end_anew(rig) -> None:
    """The turn still plays for its next owner, whose clock starts when it takes over."""
    keys = await rig.store.create()
    async with rig.worker():
        await rig.up.append_speech(keys, offset=0, pcm=SECOND * 20, end=True)
        before = await record_in(rig, keys, "playing")
    async with rig.worker():
        after = await eventually(
            lambda: conversations.read(rig.store.client, keys),
            within_s=20,
            until=lambda record: record.last_position != before.last_position,
        )
        assert after.last_position.generation > before.last_position.generation
        assert after.turn_phase == "playing"
        assert after.turn_ends_at_ms >= before.turn_ends_at_ms


async def test_waiting_for_the_turn_before_is_no_delay(rig) -> None:
    """A turn that waits behind another is received, for its latency, at the end of that one."""
    async with rig.worker():
        keys = await rig.store.create()
        for _ in range(2):
            await rig.up.append_speech(keys, offset=0, pcm=SECOND, end=True)
        await rig.until_outcome(keys, 2)
    first, second = [
        event.received_at_ms
        for turn in (1, 2)
        for event in await rig.events_of(keys, turn)
        if isinstance(event, events.TurnStarted)
    ]
    frames = {frame.turn: frame for frame in reversed(await rig.frames(keys)) if frame.turn}
    assert second >= first + 1000
    assert frames[2].published_at_us >= second * 1000


async def test_a_turn_after_a_final_failure_has_one_error(rig) -> None:
    """The chunks of a posted turn arrive together: one ``error``, one ``audio_only`` for all of them."""
    async with rig.worker(SPATIUS_API_KEY="wrong"):
        keys = await rig.store.create()
        for turn in (1, 2):
            await rig.up.append_speech(keys, offset=0, pcm=SECOND, end=True, barge_in=True, entry_bytes=2000)
            await rig.until_outcome(keys, turn)
        found = await rig.published(keys)

    codes = [event.code for event in found if isinstance(event, events.Error)]
    assert codes == ["apiKeyRefused", "held"]
    assert [event.reason for event in found if isinstance(event, events.AudioOnly)] == codes
