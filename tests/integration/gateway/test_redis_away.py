"""Redis away: sockets stay, pings are answered, no frame is lost, and all resume when it is back."""

import asyncio

import pytest
from tests.rigs.gateway import GatewayRig, assert_whole, collect, events_in, listen_to, seqs
from tests.rigs.metrics import metric

from relay_client import Viewer
from relay_gateway.fanout.catch_up import CATCHING_UP, REPLAY_FAILURES
from relay_wire import events


async def outrun(rig: GatewayRig, quick: Viewer) -> None:
    """Publish more than a viewer that does not read can be sent, 605 frames."""
    for turn in (1, 2):
        await rig.turn(turn, frames=300, size=30_000)
    await collect(quick, 605)
    assert metric(CATCHING_UP) == 1


@pytest.mark.parametrize("mode", ["refuse", "black hole"])
async def test_live_viewers_stay(proxied, eventually, mode) -> None:
    """Not ready meanwhile; frames written meanwhile come when it is back."""
    async with proxied() as (rig, proxy), rig.viewer() as viewer:
        await rig.turn(1)
        assert seqs(await collect(viewer, 8)) == list(range(1, 9))
        await proxy.set_mode(mode)
        await rig.turn(2)
        await eventually(rig.service.readiness)
        await viewer.ping("still there?")
        await anext(viewer.frames())
        await proxy.set_mode("pass")

        assert seqs(await collect(viewer, 7)) == list(range(9, 16))
        await eventually(lambda: rig.service.readiness() == "")
        assert viewer.report.resumes == 0
        assert_whole(viewer)


async def test_what_viewers_say_meanwhile(proxied, eventually) -> None:
    """Each is answered with an error; the first waits for the time-out, the others and the pings do not."""
    async with proxied() as (rig, proxy), rig.viewer("live") as viewer:
        stream = viewer.frames()
        await anext(stream)
        await proxy.set_mode("refuse")
        await eventually(rig.service.readiness)
        for _ in range(20):
            await viewer.interrupt()
        await viewer.ping("7")
        answers = [events.decode((await anext(stream)).payload) for _ in range(21)]

        assert [event.code for event in answers[:20]] == ["store_unavailable"] * 20
        assert answers[20] == events.Pong("7")
        await proxy.set_mode("pass")
        await eventually(lambda: rig.service.readiness() == "")
        await viewer.interrupt()
        await eventually(lambda: rig.service._client.connected)
        await viewer.ping("8")
        assert events.decode((await anext(stream)).payload) == events.Pong("8")
        assert len(await rig.uplink()) == 1


async def test_a_viewer_that_is_behind_waits(proxied, eventually) -> None:
    """In the middle of a replay: nothing is lost, and no reconnect is needed."""
    async with proxied(ring_bytes=0, client_buffer_bytes=20_000) as (rig, proxy):
        async with await rig.connect(slow=True) as socket, rig.viewer() as quick:
            await outrun(rig, quick)
            await proxy.set_mode("refuse")
            received = [await socket.receive() for _ in range(10)]
            await eventually(rig.service.readiness)
            failures = metric(REPLAY_FAILURES)
            waiting = asyncio.create_task(listen_to(socket))
            await eventually(lambda: metric(REPLAY_FAILURES) > failures)
            await proxy.set_mode("pass")
            rig.publish(events.ConversationEnded("over"))
            rest = await waiting

        assert socket.close_code == 4410
        assert seqs(rest) == list(range(len(received), 607))
        assert events_in(rest, events.Gap) == []


async def test_an_outage_longer_than_the_timeout(proxied) -> None:
    """A viewer that cannot be served for too long is sent elsewhere; one that has everything stays."""
    async with (
        proxied(ring_bytes=0, client_buffer_bytes=20_000, store_outage_timeout_s=0.5) as (rig, proxy),
        rig.viewer() as quick,
        await rig.connect(slow=True) as socket,
    ):
        await outrun(rig, quick)
        await proxy.set_mode("black hole")
        await listen_to(socket)

        assert socket.close_code == 4200
        await quick.ping()
        assert events.decode((await anext(quick.frames())).payload) == events.Pong()
        await proxy.set_mode("refuse")


async def test_a_viewer_that_leaves_while_it_waits(proxied, eventually) -> None:
    """Nothing waits for it any more."""
    async with proxied(ring_bytes=0, client_buffer_bytes=20_000) as (rig, proxy):
        async with await rig.connect(slow=True) as socket, rig.viewer() as quick:
            await outrun(rig, quick)
            await proxy.set_mode("black hole")
            for _ in range(10):
                await socket.receive()
        await eventually(lambda: not len(rig.service.hub))
        await eventually(lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "subscriber"])
        await proxy.set_mode("refuse")


async def test_frames_that_the_store_has_lost_are_waited_for(open_rig, eventually) -> None:
    """A fail-over in the middle of a replay: the owner writes them again, the viewer gets each once."""
    async with open_rig(ring_bytes=0, client_buffer_bytes=20_000) as rig:
        async with await rig.connect(slow=True) as socket, rig.viewer() as quick:
            go_back = await rig.store.snapshot(rig.keys)
            await outrun(rig, quick)
            received = [await socket.receive() for _ in range(20)]
            await go_back()
            failures = metric(REPLAY_FAILURES)
            waiting = asyncio.create_task(listen_to(socket))
            await eventually(lambda: metric(REPLAY_FAILURES) > failures)
            rig.writer.restore("test")
            rig.publish(events.ConversationEnded("over"))
            rest = await waiting

        assert socket.close_code == 4410
        assert seqs(rest) == list(range(len(received), 607))
        assert events_in(rest, events.Gap) == []


async def test_a_handshake_meanwhile(proxied) -> None:
    """Try later, not a crash."""
    async with proxied() as (rig, proxy):
        await proxy.set_mode("refuse")

        assert await rig.refused() == (503, "store-unavailable")
