"""Fan-out: every viewer gets the stream's own bytes, in order, to the end."""

import asyncio

import pytest
from structlog.testing import capture_logs
from tests.rigs.gateway import assert_whole, collect, listen_to, seqs
from tests.rigs.metrics import metric

from relay_redis.metrics import CONNECTED
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED


async def test_live_frames_are_the_streams_bytes(bench) -> None:
    """What is stored is what is sent."""
    async with bench() as b, await b.connect() as socket:
        await b.turn(1)
        received = [await socket.receive_bytes(timeout=5) for _ in range(9)]

        stored = [fields[b"f"] for _, fields in await b.store.entries(b.keys.down)]
        assert received[1:] == stored


async def test_two_viewers_get_the_same(bench) -> None:
    """One joins in the middle; both end with the same bytes."""
    async with bench() as b, b.viewer() as early:
        await b.turn(1, frames=30)
        async with b.viewer() as late:
            await b.turn(2, frames=30)
            all_of_it, rest = await collect(early, 65), await collect(late, 64)

        assert seqs(all_of_it) == list(range(1, 66))
        assert seqs(rest) == list(range(2, 66))


async def test_a_new_owner_is_no_gap(bench) -> None:
    """A generation follows the position that its first frame names; a viewer receives one conversation."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)
        await b.succeed()
        b.speak(1, b"x")
        frames = await collect(viewer, 10)

        assert [(f.generation, f.seq) for f in frames if f.seq][-2:] == [(b.generation, 1), (b.generation, 2)]
        assert_whole(viewer)


async def test_the_end_of_a_conversation(bench) -> None:
    """The last frame, then a final close; who comes back later gets the same end."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)
        b.publish(events.ConversationEnded("deleted"))
        frames = [got async for got in viewer]
        assert events.decode(frames[-1].payload) == events.ConversationEnded("deleted")
        await b.store.client.execute("HSET", b.keys.meta, "state", "ended")

        async with b.viewer(f"{b.generation}-4") as late:
            assert seqs([got async for got in late]) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("start", ["turn", "last", "live", ""])
async def test_the_end_revokes_tokens(bench, start: str) -> None:
    """Sockets are closed, and a token that has not expired opens no new one."""
    async with bench() as b:
        await b.turn(1)
        async with await b.connect() as socket:
            b.publish(events.ConversationEnded("deleted"))
            await listen_to(socket)
            assert socket.close_code == CONVERSATION_ENDED.code
        await b.store.client.execute("HSET", b.keys.meta, "state", "ended")

        assert await b.refused(start) == (410, "conversation-ended")


@pytest.mark.parametrize("start", ["0-0", "{g}-0", "{g}-99", "{before}-1", "{after}-1"])
async def test_a_position_that_nobody_had_opens_no_conversation_that_is_over(bench, start: str) -> None:
    """Who resumes has been here, and so has a position of a frame that is still there."""
    async with bench() as b:
        await b.turn(1)
        b.publish(events.ConversationEnded("deleted"))
        await b.writer.drained()
        await b.store.client.execute("HSET", b.keys.meta, "state", "ended")
        start = start.format(g=b.generation, before=b.generation - 1, after=b.generation + 1)

        assert await b.refused(start) == (410, "conversation-ended")
        async with b.viewer(f"{b.generation}-1") as late:
            assert seqs([got async for got in late]) == list(range(2, 10))


async def test_no_task_is_left(bench, eventually) -> None:
    """Viewers that come and go leave nothing behind."""
    async with bench(feed_linger_s=0) as b:
        # the connection of the notifications opens beside the service, and brings tasks of its own
        await eventually(lambda: metric(CONNECTED, client="gateway-pubsub"))
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with b.viewer() as viewer:
                await viewer.ping()
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_feed_that_fails_ends_its_viewers(bench, eventually) -> None:
    """The live and those behind it, with a code to come back with; a new feed serves them then."""
    async with (
        bench(ring_bytes=0, client_buffer_bytes=20_000) as b,
        await b.connect(slow=True) as behind,
        b.viewer("live") as live,
    ):
        for turn in (1, 2):
            await b.turn(turn, frames=300, size=30_000)
        await collect(live, 604)
        [reader] = b.service.feeds._readers.values()
        reader._subscription._deliver = None  # what a defect would do
        with capture_logs():  # writing a traceback would read files
            b.publish(events.Transcript("assistant", "x"))
            assert seqs(await collect(live, 1)) == [606]
        assert_whole(live)
        frames = await listen_to(behind)
        assert behind.close_code == 1011
        assert seqs(frames) == list(range(1, len(seqs(frames)) + 1))
