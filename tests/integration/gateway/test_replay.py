"""Replay: a gap precedes the frames after a loss, and names exactly the frames that are gone."""

import pytest
from tests.rigs.gateway import assert_whole, collect, events_in, seqs

from relay_wire import events
from relay_wire.position import Position


async def test_a_cut_viewer_misses_nothing(open_rig) -> None:
    """Cut again and again while frames flow: each once, in order."""
    async with open_rig() as rig, rig.viewer() as viewer:
        received = []
        for turn in range(1, 6):
            await rig.turn(turn, frames=80)
            received += await collect(viewer, 41)
            viewer.cut()
            received += await collect(viewer, 41)
            viewer.cut()

        assert seqs(received) == list(range(1, 411))
        assert viewer.report.resumes >= 3
        assert_whole(viewer)


async def test_a_late_viewer_receives_a_gap(open_rig) -> None:
    """A viewer whose frames are gone receives a gap, and the current turn from its start."""
    async with open_rig() as rig:
        for turn in (1, 2, 3, 4):
            await rig.turn(turn)
        async with rig.viewer(f"{rig.generation}-5") as viewer:
            frames = await collect(viewer, 7)

        assert events_in(frames, events.Hello)[0].position == f"{rig.generation}-5"
        assert events_in(frames, events.Gap) == [events.Gap(f"{rig.generation}-5", f"{rig.generation}-22")]
        assert seqs(frames) == list(range(23, 30))
        assert viewer.report.gaps == 1


async def test_the_previous_turn_is_still_there(open_rig) -> None:
    """A viewer that missed the end of the turn before the current one misses nothing."""
    async with open_rig() as rig:
        for turn in (1, 2, 3, 4):
            await rig.turn(turn)
        async with rig.viewer(f"{rig.generation}-16") as viewer:
            assert seqs(await collect(viewer, 13)) == list(range(17, 30))
            assert_whole(viewer)


@pytest.mark.parametrize("start", ["last", "{g}-0", "{g}-1", "{g}-3", "0-0"])
async def test_a_turn_cut_by_the_byte_cap_is_a_gap(open_rig, start: str) -> None:
    """When even the current turn's start is gone, what is left follows the gap, also at the first connect."""
    async with open_rig(retention_bytes=5000) as rig:
        await rig.turn(1, frames=20, size=1000)
        entries = await rig.store.entries(rig.keys.down)
        oldest = Position.parse(entries[0][0])
        async with rig.viewer(start.format(g=rig.generation)) as viewer:
            frames = await collect(viewer, len(entries))

        assert oldest.seq > 4
        [gap] = events_in(frames, events.Gap)
        assert gap == events.Gap(events_in(frames, events.Hello)[0].position, str(oldest.before))
        assert seqs(frames) == list(range(oldest.seq, 24))
        assert events_in(frames, events.TurnStarted) == [], (
            "what is left of a turn does not look like all of it"
        )


async def test_a_generation_that_changed_meanwhile(open_rig) -> None:
    """The owner changed and frames were trimmed meanwhile: the gap ends in the new generation."""
    async with open_rig() as rig:
        await rig.turn(1)
        old = rig.generation
        await rig.succeed()
        for turn in (2, 3, 4):
            await rig.turn(turn)
        async with rig.viewer(f"{old}-4") as viewer:
            frames = await collect(viewer, 7)

        assert events_in(frames, events.Gap) == [events.Gap(f"{old}-4", f"{rig.generation}-15")]
        assert seqs(frames) == list(range(16, 23))


async def test_a_generation_that_changed_without_loss(open_rig) -> None:
    """Away while the owner changed, with everything still there: no gap."""
    async with open_rig() as rig:
        await rig.turn(1)
        old = rig.generation
        await rig.succeed()
        await rig.turn(2)
        async with rig.viewer(f"{old}-4") as viewer:
            frames = await collect(viewer, 12)

        assert [(f.generation, f.seq) for f in frames if f.seq] == [
            *((old, seq) for seq in range(5, 9)),
            *((rig.generation, seq) for seq in range(1, 9)),
        ]
        assert_whole(viewer)


async def test_frames_that_were_lost_with_their_owner(open_rig) -> None:
    """Frames that no owner can restore: each viewer that has received them gets a gap, live or returning."""
    async with open_rig() as rig, rig.viewer() as viewer:
        await rig.turn(1)
        go_back = await rig.store.snapshot(rig.keys)
        await rig.turn(2)
        await collect(viewer, 15)
        had = rig.writer.last_position
        rig.writer.close()
        await go_back()
        lost = rig.writer
        await rig.store.client.execute("DEL", rig.keys.lease)
        lost._seq = 8  # what the store has, as the successor reads it
        await rig.succeed()
        await rig.turn(2)
        live = await collect(viewer, 7)

        gap = events.Gap(str(had), f"{rig.generation}-1")
        assert events_in(live, events.Gap) == [gap]
        assert seqs(live) == list(range(2, 9))
        async with rig.viewer(str(had)) as returning:
            back = await collect(returning, 7)
        assert events_in(back, events.Gap) == [gap]
        assert seqs(back) == list(range(2, 9))


async def test_a_hole_in_the_stream_is_a_gap(open_rig) -> None:
    """Even live viewers learn that frames are missing."""
    async with open_rig() as rig, rig.viewer("live") as viewer:
        await rig.turn(1)
        await collect(viewer, 7)
        rig.writer._seq += 3
        await rig.store.client.execute("HSET", rig.keys.meta, "tail", str(rig.writer.last_position))
        rig.speak(1, b"x")
        frames = await collect(viewer, 1)

        assert events_in(frames, events.Gap) == [events.Gap(f"{rig.generation}-8", f"{rig.generation}-11")]
        assert seqs(frames) == [12]


@pytest.mark.parametrize("content", ["", "junk", "\x01" * 500])
async def test_what_is_no_frame_is_passed_over(open_rig, content: str) -> None:
    """An entry of another writer costs its position, and closes no viewer, present or later."""
    async with open_rig() as rig:
        await rig.turn(1)
        async with rig.viewer() as viewer:
            await until_seq(viewer, rig.writer.last_position.seq)
            seq = rig.writer.last_position.seq + 1
            await rig.store.client.execute("XADD", rig.keys.down, f"{rig.generation}-{seq}", "f", content)
            await rig.turn(2)
            await until_seq(viewer, rig.writer.last_position.seq)
        async with rig.viewer(f"{rig.generation}-{seq - 1}") as late:
            await until_seq(late, rig.writer.last_position.seq)


async def until_seq(viewer, seq: int) -> None:
    while (await collect(viewer, 1))[0].seq != seq:
        pass
