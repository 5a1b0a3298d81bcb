"""Replay: a gap precedes the frames after a loss, and names exactly the frames that are gone."""

import pytest
from tests.rigs.gateway import assert_whole, collect, events_in, seqs

from relay_wire import events
from relay_wire.position import Position


async def test_a_cut_viewer_misses_nothing(bench) -> None:
    """Cut again and again while frames flow: each once, in order."""
    async with bench() as b, b.viewer() as viewer:
        received = []
        for turn in range(1, 6):
            await b.turn(turn, frames=80)
            received += await collect(viewer, 41)
            viewer.cut()
            received += await collect(viewer, 41)
            viewer.cut()

        assert seqs(received) == list(range(1, 411))
        assert viewer.report.resumes >= 3
        assert_whole(viewer)


async def test_too_late_is_told(bench) -> None:
    """A viewer whose frames are gone receives a gap, and the current turn from its start."""
    async with bench() as b:
        for turn in (1, 2, 3, 4):
            await b.turn(turn)
        async with b.viewer(f"{b.generation}-5") as viewer:
            frames = await collect(viewer, 7)

        assert events_in(frames, events.Hello)[0].position == f"{b.generation}-5"
        assert events_in(frames, events.Gap) == [events.Gap(f"{b.generation}-5", f"{b.generation}-22")]
        assert seqs(frames) == list(range(23, 30))
        assert viewer.report.gaps == 1


async def test_the_previous_turn_is_still_there(bench) -> None:
    """A viewer that missed the end of the turn before the current one misses nothing."""
    async with bench() as b:
        for turn in (1, 2, 3, 4):
            await b.turn(turn)
        async with b.viewer(f"{b.generation}-16") as viewer:
            assert seqs(await collect(viewer, 13)) == list(range(17, 30))
            assert_whole(viewer)


@pytest.mark.parametrize("start", ["last", "{g}-0", "{g}-1", "{g}-3", "0-0"])
async def test_a_turn_cut_by_the_byte_cap_is_told(bench, start: str) -> None:
    """When even the current turn's start is gone, what is left follows the gap, also at the first connect."""
    async with bench(retention_bytes=5000) as b:
        await b.turn(1, frames=20, size=1000)
        entries = await b.store.entries(b.keys.down)
        oldest = Position.parse(entries[0][0])
        async with b.viewer(start.format(g=b.generation)) as viewer:
            frames = await collect(viewer, len(entries))

        assert oldest.seq > 4
        [gap] = events_in(frames, events.Gap)
        assert gap == events.Gap(events_in(frames, events.Hello)[0].position, str(oldest.before))
        assert seqs(frames) == list(range(oldest.seq, 24))
        assert events_in(frames, events.TurnStarted) == [], (
            "what is left of a turn does not look like all of it"
        )


async def test_a_generation_that_changed_meanwhile(bench) -> None:
    """The owner changed and frames were trimmed meanwhile: the gap ends in the new generation."""
    async with bench() as b:
        await b.turn(1)
        old = b.generation
        await b.succeed()
        for turn in (2, 3, 4):
            await b.turn(turn)
        async with b.viewer(f"{old}-4") as viewer:
            frames = await collect(viewer, 7)

        assert events_in(frames, events.Gap) == [events.Gap(f"{old}-4", f"{b.generation}-15")]
        assert seqs(frames) == list(range(16, 23))


async def test_a_generation_that_changed_without_loss(bench) -> None:
    """Away while the owner changed, with everything still there: no gap."""
    async with bench() as b:
        await b.turn(1)
        old = b.generation
        await b.succeed()
        await b.turn(2)
        async with b.viewer(f"{old}-4") as viewer:
            frames = await collect(viewer, 12)

        assert [(f.generation, f.seq) for f in frames if f.seq] == [
            *((old, seq) for seq in range(5, 9)),
            *((b.generation, seq) for seq in range(1, 9)),
        ]
        assert_whole(viewer)


async def test_frames_that_were_lost_with_their_owner(bench) -> None:
    """Frames that no owner can restore: each viewer that has received them gets a gap, live or returning."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)
        go_back = await b.store.snapshot(b.keys)
        await b.turn(2)
        await collect(viewer, 15)
        had = b.writer.last_position
        b.writer.close()
        await go_back()
        lost = b.writer
        await b.store.client.execute("DEL", b.keys.lease)
        lost._seq = 8  # what the store has, as the successor reads it
        await b.succeed()
        await b.turn(2)
        live = await collect(viewer, 7)

        gap = events.Gap(str(had), f"{b.generation}-1")
        assert events_in(live, events.Gap) == [gap]
        assert seqs(live) == list(range(2, 9))
        async with b.viewer(str(had)) as returning:
            back = await collect(returning, 7)
        assert events_in(back, events.Gap) == [gap]
        assert seqs(back) == list(range(2, 9))


async def test_a_hole_in_the_stream_is_told(bench) -> None:
    """Even live viewers learn that frames are missing."""
    async with bench() as b, b.viewer("live") as viewer:
        await b.turn(1)
        await collect(viewer, 7)
        b.writer._seq += 3
        await b.store.client.execute("HSET", b.keys.meta, "tail", str(b.writer.last_position))
        b.speak(1, b"x")
        frames = await collect(viewer, 1)

        assert events_in(frames, events.Gap) == [events.Gap(f"{b.generation}-8", f"{b.generation}-11")]
        assert seqs(frames) == [12]


@pytest.mark.parametrize("content", ["", "junk", "\x01" * 500])
async def test_what_is_no_frame_is_passed_over(bench, content: str) -> None:
    """An entry that somebody else wrote costs its place, and no viewer, there or to come."""
    async with bench() as b:
        await b.turn(1)
        async with b.viewer() as viewer:
            await until_seq(viewer, b.writer.last_position.seq)
            seq = b.writer.last_position.seq + 1
            await b.store.client.execute("XADD", b.keys.down, f"{b.generation}-{seq}", "f", content)
            await b.turn(2)
            await until_seq(viewer, b.writer.last_position.seq)
        async with b.viewer(f"{b.generation}-{seq - 1}") as late:
            await until_seq(late, b.writer.last_position.seq)


async def until_seq(viewer, seq: int) -> None:
    while (await collect(viewer, 1))[0].seq != seq:
        pass
