"""Slow viewers: they delay no other, use a bounded buffer, and never have an unreported gap."""

import asyncio
import fcntl
import socket as socket_options
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import pytest
from tests.rigs.gateway import collect, listen_to, seqs
from tests.rigs.metrics import metric

from relay_gateway.accept import CLOSES
from relay_gateway.fanout.catch_up import CATCHING_UP
from relay_gateway.fanout.ring import RING_BYTES
from relay_gateway.fanout.subscriber import GAPS
from relay_gateway.hub import UNSENT
from relay_wire import events, frame, messages
from relay_wire.frame import HEADER_BYTES
from relay_wire.position import START, Position

BUFFER = 50_000


async def crawl(
    socket: aiohttp.ClientWebSocketResponse, pause_s: float, served: Callable[[], bool]
) -> list[frame.Frame]:
    """Read a frame, rest, read a frame, while the gateway serves us; then what is still on its way."""
    frames = []
    async for message in socket:
        frames.append(frame.decode(message.data))
        if served():
            await asyncio.sleep(pause_s)
    return frames


def resume_position(frames: list[frame.Frame]) -> tuple[str, int]:
    """Where a viewer resumes after these: the last frame, or the ``to`` of a later gap; and how many gaps."""
    position, gaps = "", 0
    for received in frames:
        event = events.decode(received.payload) if received.kind is frame.Kind.EVENT else None
        if isinstance(event, events.Gap):
            position, gaps = event.to, gaps + 1
        elif received.seq:
            position = str(received.position)
    return position, gaps


async def test_what_is_on_its_way_when_the_socket_closes(open_rig) -> None:
    """Arrives, and then the code: closing waits for what is not sent yet."""
    async with (
        open_rig(client_buffer_bytes=2**24) as rig,
        rig.viewer("live") as quick,
        await rig.connect(rig.path + "?from=live", slow=True) as socket,
    ):
        turn = 0
        while metric(UNSENT) < 100_000:
            turn += 1
            await rig.turn(turn, frames=20, size=100_000)
            await collect(quick, 22)
        rig.publish(events.ConversationEnded("over"))
        assert len(seqs(await listen_to(socket))) == turn * 22 + 1
        assert socket.close_code == 4410


@pytest.mark.skipif(not hasattr(socket_options, "TCP_NOTSENT_LOWAT"), reason="this kernel has no such option")
async def test_the_kernel_takes_no_megabytes(open_rig, eventually) -> None:
    """What is urgent waits behind what a phone can receive in seconds, not in minutes."""
    async with (
        open_rig(client_notsent_bytes=65_536) as rig,
        rig.viewer("live") as quick,
        await rig.connect(rig.path + "?from=live", slow=True),
    ):
        await rig.turn(1, frames=300, size=30_000)
        await collect(quick, 302)
        await eventually(lambda: metric(CATCHING_UP) == 1)
        transports = [one.connection._transport for one in rig.service.hub]
        kept = [kept_by_kernel(transport.get_extra_info("socket").fileno()) for transport in transports]
        assert max(kept) <= 3 * 65_536, "what is on the wire, and one write"


def kept_by_kernel(descriptor: int) -> int:
    """Bytes of a socket that the other side has not acknowledged, sent or not (SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0])


async def test_a_slow_viewer_delays_no_other(open_rig, eventually) -> None:
    """1 KB/s: the others get everything, memory is bounded, it is closed as slow, and can resume."""
    closed = metric(CLOSES, code="slow_consumer")
    held = metric(RING_BYTES)  # by gateways of other tests in this process
    async with (
        open_rig(client_buffer_bytes=BUFFER, slow_client_s=0.5, ring_bytes=10_000) as rig,
        rig.viewer("live") as quick,
        await rig.connect(rig.path + "?from=live", slow=True) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        crawling = tasks.create_task(crawl(socket, 0.2, lambda: len(rig.service.hub) > 1))
        most = 0
        for turn in range(1, 11):
            await rig.turn(turn, frames=100, size=10_000)
            assert len(seqs(await collect(quick, 102))) == 102
            most = max(most, int(metric(UNSENT)))
        await eventually(lambda: len(rig.service.hub) == 1)

        assert BUFFER < most < BUFFER + 32 * 15_100, "its buffer, and one batch of the stream"
        assert metric(CLOSES, code="slow_consumer") == closed + 1
        assert metric(RING_BYTES) - held <= 10_000
        last, gaps = resume_position(await crawling)
        async with rig.viewer(last) as again:
            rest = await collect(again, 102)
        assert gaps + again.report.gaps >= 1, "announced before the close, or at the resume"
        assert again.report.out_of_order == 0
        assert seqs(rest)[-102:] == list(
            range(rig.writer.last_position.seq - 101, rig.writer.last_position.seq + 1)
        )


async def test_a_viewer_that_fell_behind_catches_up(open_rig) -> None:
    """A pause in reading is no loss."""
    async with open_rig(client_buffer_bytes=20_000, ring_bytes=10_000) as rig, await rig.connect() as socket:
        await socket.receive_bytes(timeout=5)
        for turn in (1, 2):
            await rig.turn(turn, frames=300, size=4000)
        got = []
        async with asyncio.timeout(20):
            while len(got) < 605:
                received = frame.decode(await socket.receive_bytes())
                got.append(received.seq)

        assert got == list(range(1, 606))
        assert metric(CATCHING_UP) == 0


async def test_a_viewer_that_stays_behind_receives_a_gap(open_rig, eventually) -> None:
    """It reads just fast enough not to be closed, and frames go before it gets to them: always with a gap."""
    before = metric(GAPS)
    async with (
        open_rig(
            client_buffer_bytes=20_000, ring_bytes=10_000, slow_client_s=5, retention_bytes=2_000_000
        ) as rig,
        await rig.connect(slow=True) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        lagging = tasks.create_task(crawl(socket, 0.01, lambda: len(rig.service.hub) > 0))
        for turn in range(1, 13):
            await rig.turn(turn, frames=200, size=10_000)
        await eventually(lambda: metric(GAPS) > before)
        await rig.service.close()
        frames = await lagging

        cursor, gaps, read = START, 0, 0
        for received in frames:
            event = events.of_frame(frame.encode(received))
            if isinstance(event, events.Gap):
                assert event.from_ == str(cursor)
                cursor, gaps = Position.parse(event.to), gaps + 1
            elif received.seq:
                assert events.follows(cursor, received.position, event), "no silent hole"
                cursor, read = received.position, read + 1
        assert gaps > 0
        assert read > 0


async def test_who_asks_without_reading_the_answers(open_rig, eventually) -> None:
    """Pings by the thousand: at some point they are not read any more, and memory stays bounded."""
    limits = {"client_buffer_bytes": 20_000, "slow_client_s": 0.5, "message_burst_s": 1000}
    async with open_rig(**limits) as rig, rig.viewer("live") as other:
        socket = await rig.connect(slow=True)
        await eventually(lambda: len(rig.service.hub) == 2)
        ping = messages.encode(messages.Ping("x" * 90))
        unsent: list[float] = []

        async def look() -> None:
            while len(rig.service.hub) > 1:
                unsent.append(metric(UNSENT))
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            with suppress(ConnectionError):
                while len(rig.service.hub) > 1:
                    await socket.send_str(ping)
        await socket.close()

        assert 20_000 < max(unsent) < 20_000 + 100 * (HEADER_BYTES + 200)
        await rig.turn(1)
        assert len(seqs(await collect(other, 7))) == 7
