"""Messages: what viewers say reaches the owner; what cannot be understood harms nobody else."""

from typing import Any

import pytest
from tests.integration.gateway.bench import collect, listen_to, said, seqs

from relay_auth.viewer_tokens import Role
from relay_client import Closed
from relay_wire import events, frame, messages, uplink
from relay_wire.frame import Codec, Flags, Frame, Kind


async def test_messages_reach_the_owner(bench) -> None:
    """Playback, interrupt, text and microphone go up; a ping is answered at once."""
    async with bench() as b, b.viewer("live") as viewer:
        await viewer.report_playback(3, "stalled", 120)
        await viewer.interrupt()
        await viewer.send_text("hi")
        await viewer.send_microphone(b"\x01\x02")
        await viewer.ping("7")
        stream = viewer.frames()
        pong = [await anext(stream), await anext(stream)][1]

        assert events.decode(pong.payload) == events.Pong("7")
        assert await b.uplink() == [
            uplink.Playback(3, "stalled", 120), uplink.Interrupt(0, "viewer"),
            uplink.Text("hi"), uplink.Microphone(b"\x01\x02"),
        ]  # fmt: skip


async def test_listeners_may_not_speak(bench) -> None:
    """Their reports count, their words do not, and they are told."""
    async with bench() as b:
        headers = {"Authorization": f"Bearer {b.token(Role.LISTEN)}"}
        async with await b.connect(headers=headers) as socket:
            for message in (messages.Interrupt(), messages.Text("x"), messages.Playback(1, "started")):
                await socket.send_str(messages.encode(message))
            await socket.send_str(messages.encode(messages.Ping()))
            heard: list[Any] = []
            while not heard or not isinstance(heard[-1], events.Pong):
                received = frame.decode(await socket.receive_bytes(timeout=5))
                heard += [events.decode(received.payload)] if received.seq == 0 else []

        assert [event.code for event in heard if isinstance(event, events.Error)] == ["forbidden"] * 2
        assert await b.uplink() == [uplink.Playback(1, "started", 0)]


@pytest.mark.parametrize("bad", ["hello", '{"type":"dance"}', b"binary", b"\x00" * 40, '{"type":"text"}'])
async def test_bad_messages(bench, bad: str | bytes) -> None:
    """Each is told; enough of them end the socket; another viewer does not notice."""
    async with bench(bad_messages=3) as b, b.viewer() as other, await b.connect() as socket:
        for _ in range(3):
            await (socket.send_str(bad) if isinstance(bad, str) else socket.send_bytes(bad))
        told = said(await listen_to(socket), events.Error)

        assert [error.code for error in told] == ["bad_message"] * 3
        assert socket.close_code == 4400
        await b.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


async def test_a_microphone_frame_of_another_kind(bench) -> None:
    """Viewers do not publish."""
    async with bench(bad_messages=1) as b, await b.connect() as socket:
        await socket.send_bytes(
            frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, 1, 1, 0, 0, b"x"))
        )
        await listen_to(socket)

        assert socket.close_code == 4400


async def test_a_message_too_big(bench) -> None:
    """2 MiB: closed as too big, nobody else disturbed."""
    async with bench() as b, b.viewer() as other, await b.connect() as socket:
        await socket.send_bytes(bytes(2 * 2**20))
        await listen_to(socket)
        assert socket.close_code == 1009
        await b.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


async def test_the_client_says_why_it_was_closed(bench) -> None:
    """A final close is an error of its own."""
    async with bench(bad_messages=1) as b, b.viewer() as viewer:
        await viewer._connected().send_str("nonsense")
        with pytest.raises(Closed, match="bad_message"):
            await collect(viewer, 100)
