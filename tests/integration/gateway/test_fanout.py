"""Fan-out: every viewer gets the stream's own bytes, in order, to the end."""

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs
from tests.rigs.gateway import assert_whole, collect, listen_to, seqs
from tests.rigs.metrics import metric

from relay_redis.metrics import CONNECTED
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED


async def test_live_frames_are_the_streams_bytes(open_rig) -> None:
    """What is stored is what is sent."""
    async with open_rig() as rig, await rig.connect() as socket:
        await rig.turn(1)
        received = [await socket.receive_bytes(timeout=5) for _ in range(9)]

        stored = [fields[b"f"] for _, fields in await rig.store.entries(rig.keys.down)]
        assert received[1:] == stored


async def test_two_viewers_get_the_same(open_rig) -> None:
    """One joins in the middle; both end with the same bytes."""
    async with open_rig() as rig, rig.viewer() as early:
        await rig.turn(1, frames=30)
        async with rig.viewer() as late:
            await rig.turn(2, frames=30)
            all_of_it, rest = await collect(early, 65), await collect(late, 64)

        assert seqs(all_of_it) == list(range(1, 66))
        assert seqs(rest) == list(range(2, 66))


async def test_a_new_owner_is_no_gap(open_rig) -> None:
    """A generation follows the position that its first frame names; a viewer receives one conversation."""
    async with open_rig() as rig, rig.viewer() as viewer:
        await rig.turn(1)
        await rig.succeed()
        rig.speak(1, b"x")
        frames = await collect(viewer, 10)

        assert [(f.generation, f.seq) for f in frames if f.seq][-2:] == [
            (rig.generation, 1),
            (rig.generation, 2),
        ]
        assert_whole(viewer)


async def test_the_end_of_a_conversation(open_rig) -> None:
    """The last frame, then a final close; who comes back later gets the same end."""
    async with open_rig() as rig, rig.viewer() as viewer:
        await rig.turn(1)
        rig.publish(events.ConversationEnded("deleted"))
        frames = [got async for got in viewer]
        assert events.decode(frames[-1].payload) == events.ConversationEnded("deleted")
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")

        async with rig.viewer(f"{rig.generation}-4") as late:
            assert seqs([got async for got in late]) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("start", ["turn", "last", "live", ""])
async def test_the_end_revokes_tokens(open_rig, start: str) -> None:
    """Sockets are closed, and a token that has not expired opens no new one."""
    async with open_rig() as rig:
        await rig.turn(1)
        async with await rig.connect() as socket:
            rig.publish(events.ConversationEnded("deleted"))
            await listen_to(socket)
            assert socket.close_code == CONVERSATION_ENDED.code
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")

        assert await rig.refused(start) == (410, "conversation-ended")


@pytest.mark.parametrize("start", ["0-0", "{g}-0", "{g}-99", "{before}-1", "{after}-1"])
async def test_a_position_that_nobody_had_opens_no_conversation_that_is_over(open_rig, start: str) -> None:
    """Who resumes has been here, and so has a position of a frame that is still there."""
    async with open_rig() as rig:
        await rig.turn(1)
        rig.publish(events.ConversationEnded("deleted"))
        await rig.writer.drained()
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")
        start = start.format(g=rig.generation, before=rig.generation - 1, after=rig.generation + 1)

        assert await rig.refused(start) == (410, "conversation-ended")
        async with rig.viewer(f"{rig.generation}-1") as late:
            assert seqs([got async for got in late]) == list(range(2, 10))


async def test_no_task_is_left(open_rig, eventually) -> None:
    """Viewers that come and go leave nothing behind."""
    async with open_rig(feed_linger_s=0) as rig:
        # connections open beside the service, and bring tasks of their own
        for client in ("gateway", "gateway-pubsub", "gateway-read"):
            await eventually(partial(metric, CONNECTED, client=client))
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with rig.viewer() as viewer:
                await viewer.ping()
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_feed_that_fails_ends_its_viewers(open_rig, eventually) -> None:
    """The live and those behind it, with a code to come back with; a new feed serves them then."""
    async with (
        open_rig(ring_bytes=0, client_buffer_bytes=20_000) as rig,
        await rig.connect(slow=True) as behind,
        rig.viewer("live") as live,
    ):
        for turn in (1, 2):
            await rig.turn(turn, frames=300, size=30_000)
        await collect(live, 604)
        [reader] = rig.service.feeds._readers.values()
        reader._subscription._deliver = None  # what a defect would do
        with capture_logs():  # writing a traceback would read files
            rig.publish(events.Transcript("assistant", "x"))
            assert seqs(await collect(live, 1)) == [606]
        assert_whole(live)
        frames = await listen_to(behind)
        assert behind.close_code == 1011
        assert seqs(frames) == list(range(1, len(seqs(frames)) + 1))
