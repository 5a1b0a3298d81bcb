"""Messages: viewers' messages reach the owner; a malformed one affects no other viewer."""

import json
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.gateway import collect, events_in, listen_to, seqs
from tests.rigs.metrics import metric

from relay_auth.viewer_tokens import Role
from relay_client import Closed
from relay_gateway import session
from relay_gateway.commands import BAD_REPORTS
from relay_gateway.presence import NO_OWNERS
from relay_runtime.http import SOCKET_ERRORS
from relay_wire import events, frame, messages, uplink
from relay_wire.close_codes import ReconnectAdvice, advice
from relay_wire.frame import Codec, Flags, Frame, Kind


async def test_messages_reach_the_owner(open_rig) -> None:
    """Playback, interrupt, text and microphone go up; a ping is answered at once."""
    async with open_rig() as rig, rig.viewer("live") as viewer:
        await viewer.report_playback(3, "stalled", 120)
        await viewer.interrupt()
        await viewer.send_text("hi")
        await viewer.send_microphone(b"\x01\x02")
        await viewer.send_microphone(b"\x03\x04", end=True)
        await viewer.send_microphone(b"", end=True)
        await viewer.ping("7")
        stream = viewer.frames()
        pong = [await anext(stream), await anext(stream)][1]

        assert events.decode(pong.payload) == events.Pong("7")
        report, *others = await rig.uplink()
        assert isinstance(report, uplink.Playback)
        assert report == uplink.Playback(3, "stalled", 120, report.viewer)
        assert report.viewer, "reports of one connection differ from others'"
        assert others == [
            uplink.Interrupt(0, "viewer"),
            uplink.Text("hi"), uplink.Microphone(b"\x01\x02"),
            uplink.Microphone(b"\x03\x04", end=True), uplink.Microphone(b"", end=True),
        ]  # fmt: skip


async def test_listeners_may_not_speak(open_rig) -> None:
    """Neither their messages nor their reports reach the owner; a message is answered with an error."""
    async with open_rig() as rig:
        headers = {"Authorization": f"Bearer {rig.token(Role.LISTEN)}"}
        async with await rig.connect(headers=headers) as socket:
            for message in (uplink.Interrupt(), uplink.Text("x"), uplink.Playback(1, "started", 0)):
                await socket.send_str(messages.encode(message))
            await socket.send_str(messages.encode(messages.Ping()))
            received_events: list[Any] = []
            while not received_events or not isinstance(received_events[-1], events.Pong):
                received = frame.decode(await socket.receive_bytes(timeout=5))
                received_events += [events.decode(received.payload)] if received.seq == 0 else []

        assert [event.code for event in received_events if isinstance(event, events.Error)] == [
            "forbidden"
        ] * 2
        assert await rig.uplink() == []


async def test_an_open_microphone_of_a_listener(open_rig) -> None:
    """Its pieces are refused with one error; any other message still has its own."""
    async with open_rig(avatarkit_clients=True, avatar_id="ava") as rig:
        headers = {"Authorization": f"Bearer {rig.token(Role.LISTEN)}"}
        async with await rig.connect("/ws/agent", headers=headers) as socket:
            for _ in range(20):
                await socket.send_json({"type": "mic_audio", "audio": "AQI="})
            for _ in range(2):
                await socket.send_json({"type": "text", "text": "hi"})
            await socket.send_json({"type": "ping"})
            received: list[Any] = []
            while not received or received[-1]["type"] != "pong":
                received.append(await socket.receive_json(timeout=5))

        assert [message["code"] for message in received if message["type"] == "error"] == ["forbidden"] * 3
        assert await rig.uplink() == []


async def test_microphone_audio_that_redis_refuses(open_rig) -> None:
    """One error while it lasts; another when Redis refuses again after it has accepted some."""
    async with open_rig() as rig, await rig.connect() as socket:
        microphone = frame.encode(Frame(Kind.MICROPHONE, Flags.NONE, Codec.PCM_S16LE, 0, 0, 0, 0, 0, b"ab"))
        refusals = []
        for _ in range(2):
            await rig.store.client.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
            try:
                for _ in range(10):
                    await socket.send_bytes(microphone)
                refusals += await pinged(socket)
            finally:
                await rig.store.client.execute("ACL", "SETUSER", "default", "+@all")
            await socket.send_bytes(microphone)
            refusals += await pinged(socket)

        assert [event.code for event in refusals if isinstance(event, events.Error)] == [
            "store_unavailable"
        ] * 2
        assert await rig.uplink() == [uplink.Microphone(b"ab")] * 2


@pytest.mark.parametrize("bad", ["hello", '{"type":"dance"}', b"binary", b"\x00" * 40, '{"type":"text"}'])
async def test_bad_messages(open_rig, bad: str | bytes) -> None:
    """Each is answered with an error; enough of them close the socket; another viewer is not affected."""
    async with open_rig(bad_messages=3) as rig, rig.viewer() as other, await rig.connect() as socket:
        for _ in range(3):
            await (socket.send_str(bad) if isinstance(bad, str) else socket.send_bytes(bad))
        errors = events_in(await listen_to(socket), events.Error)

        assert [error.code for error in errors] == ["bad_message"] * 3
        assert socket.close_code == 4400
        await rig.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


async def pinged(socket: Any, text: str = '{"type":"ping","id":"last"}') -> list[Any]:
    """The gateway's events up to the answer to this ping."""
    await socket.send_str(text)
    received_events: list[Any] = []
    while not received_events or not isinstance(received_events[-1], events.Pong):
        received = frame.decode(await socket.receive_bytes(timeout=5))
        received_events += [events.decode(received.payload)] if received.seq == 0 else []
    return received_events


DEEP = '{"type":"ping","x":' + "[" * 60_000


@pytest.mark.parametrize("role", [Role.LISTEN, Role.SPEAK])
async def test_deep_json_is_a_bad_message(open_rig, role: Role) -> None:
    """A decoder that gives up is no defect of the viewer's socket."""
    async with (
        open_rig(bad_messages=2) as rig,
        await rig.connect(headers={"Authorization": f"Bearer {rig.token(role)}"}) as socket,
    ):
        await socket.send_str(DEEP)
        [*_, error, _] = await pinged(socket)
        assert error.code == "bad_message"
        await socket.send_str(DEEP)
        await listen_to(socket)
        assert socket.close_code == 4400


async def test_reports_that_cannot_be_decoded_close_no_socket(open_rig) -> None:
    """Ignored and counted, with one answer; decodable ones reach the uplink as whole numbers."""
    async with open_rig(bad_messages=2) as rig, await rig.connect() as socket:
        before = metric(BAD_REPORTS)
        for position in ("1234.5", "1234.0", "null", "9" * 1000):
            report = f'{{"type":"playback","turn":1.0,"state":"started","position_ms":{position}}}'
            await socket.send_str(report)
        for _ in range(20):
            await socket.send_str('{"type":"playback","turn":"one","state":"started"}')
        received_events = await pinged(socket)

        assert [event.code for event in received_events if isinstance(event, events.Error)] == ["bad_message"]
        assert metric(BAD_REPORTS) == before + 20
        assert [entry.position_ms for entry in await rig.uplink()] == [1234, 1234, 0, 2**32 - 1]
        assert {entry.turn for entry in await rig.uplink()} == {1}


@pytest.mark.parametrize("ping_id", [1, 1.5, None, True, "x", 2**63])
async def test_a_ping_is_answered_with_what_it_was_called(open_rig, ping_id: Any) -> None:
    """Clients of other languages use a counter, or the time."""
    async with open_rig() as rig, await rig.connect() as socket:
        received_events = await pinged(socket, json.dumps({"type": "ping", "id": ping_id}))

        assert received_events[-1] == events.Pong(ping_id)


@pytest.mark.parametrize("endpoint", ["", "/ws/agent"])
@pytest.mark.parametrize("refusal", ["store_unavailable", "store_refused"])
async def test_what_redis_refuses_ends_no_socket(open_rig, endpoint: str, refusal: str) -> None:
    """A missing right, or data of another kind, is answered with an error event; the socket stays open."""
    async with (
        open_rig(avatarkit_clients=True, avatar_id="ava") as rig,
        await rig.connect(endpoint) as socket,
    ):
        if refusal == "store_unavailable":
            await rig.store.client.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
        else:
            await rig.store.client.execute(
                "XADD", rig.keys.up, f"{2**64 - 1}-{2**64 - 1}", "k", "none can follow"
            )
        try:
            for _ in range(3):
                await socket.send_str('{"type":"text","text":"hi"}')
            await socket.send_str('{"type":"ping"}')
            answers = [b""]
            while b"pong" not in answers[-1]:
                data = (await socket.receive(timeout=5)).data
                answers.append(data.encode() if isinstance(data, str) else data)
            assert sum(refusal.encode() in message for message in answers) == 3
            assert not socket.closed
        finally:
            await rig.store.client.execute("ACL", "SETUSER", "default", "+@all")


async def test_a_defect_after_the_upgrade_is_a_close_code(open_rig, monkeypatch, as_a_service) -> None:
    """Nothing but WebSocket messages is ever written to an open socket."""
    as_a_service("json")
    async with open_rig() as rig:
        monkeypatch.setattr(session, "_hello", lambda *_: 1 / 0)
        before = metric(SOCKET_ERRORS, code="internal_error")
        async with await rig.connect() as socket:
            await listen_to(socket)

            assert socket.close_code == 1011
            assert metric(SOCKET_ERRORS, code="internal_error") == before + 1


async def test_a_microphone_frame_of_another_kind(open_rig) -> None:
    """Viewers do not publish."""
    async with open_rig(bad_messages=1) as rig, await rig.connect() as socket:
        await socket.send_bytes(
            frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, 1, 1, 0, 0, b"x"))
        )
        await listen_to(socket)

        assert socket.close_code == 4400


@pytest.mark.parametrize("endpoint", ["", "/ws/agent"])
async def test_a_message_too_big(open_rig, endpoint: str) -> None:
    """2 MiB: an error, then a close with a code to back off; no other viewer is affected."""
    async with (
        open_rig(avatarkit_clients=True, avatar_id="ava") as rig,
        rig.viewer() as other,
        await rig.connect(endpoint) as socket,
    ):
        await socket.send_bytes(bytes(2 * 2**20))
        answers = [message.data async for message in socket]
        answers = [message.encode() if isinstance(message, str) else message for message in answers]
        assert b"too_big" in answers[-1]
        assert b"65536 bytes" in answers[-1]
        assert socket.close_code == 1009
        assert advice(1009) is ReconnectAdvice.BACK_OFF
        await rig.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


async def test_the_client_raises_the_reason_of_a_close(open_rig) -> None:
    """A final close is an error of its own."""
    async with open_rig(bad_messages=1) as rig, rig.viewer() as viewer:
        await viewer._connected().send_str("nonsense")
        with pytest.raises(Closed, match="bad_message"):
            await collect(viewer, 100)


async def test_viewers_receive_an_error_while_their_conversation_has_no_owner(open_rig) -> None:
    """Each once, for as long as that lasts; who comes later, too."""
    async with open_rig(owner_wait_s=0.1, presence_s=0.1) as rig:
        keys = rig.keys
        no_owner = events.Error("no_owner", "the conversation waits for a worker", retryable=True)
        async with await rig.connect() as first:
            await rig.store.client.execute("DEL", keys.lease)
            await rig.store.client.execute("HSET", keys.meta, "leased", 1)
            assert await next_error(first) == no_owner
            async with await rig.connect() as second:
                assert await next_error(second) == no_owner
            before = NO_OWNERS._value.get()
            await rig.store.client.execute("SET", keys.lease, "somebody 1", "PX", 60_000)
            await eventually(
                lambda: rig.store.client.execute("HGET", keys.meta, "seen"), until=lambda seen: int(seen) >= 2
            )
            assert NO_OWNERS._value.get() == before, "the first is not informed twice"


async def test_a_conversation_that_is_watched_is_noted(open_rig) -> None:
    """For its owner, which ends the conversation when it has no viewers."""
    async with open_rig(presence_s=0.1) as rig:
        await rig.store.client.execute("HSET", rig.keys.meta, "seen", 1)
        async with await rig.connect():
            await eventually(
                lambda: rig.store.client.execute("HGET", rig.keys.meta, "seen"),
                until=lambda seen: seen != b"1",
            )


async def next_error(socket: Any) -> events.Error:
    """The next error event."""
    while True:
        received = frame.decode(await socket.receive_bytes(timeout=5))
        event = events.decode(received.payload) if received.kind is Kind.EVENT else None
        if isinstance(event, events.Error):
            return event
