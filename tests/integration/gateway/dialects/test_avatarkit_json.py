"""`/ws/agent`: the vendor's clients, as their message tables have them, at a real gateway (facts 5.2)."""

import json
from base64 import b64encode

import pytest
from structlog.testing import capture_logs
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.avatarkit import OPTIONS, PCM, Speaker, agent, receive
from tests.rigs.gateway import KEY
from tests.rigs.metrics import metric

from relay_auth.viewer_tokens import Role
from relay_gateway.dialects.dialect import UNKNOWN
from relay_settings.base import SettingsError
from relay_settings.gateway import GatewaySettings
from relay_wire import events, frame, uplink
from relay_wire.avatarkit import texts
from relay_wire.frame import Kind


async def test_a_whole_turn(open_rig) -> None:
    """`ready` first, then audio and motion as the controller wants them."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        client, driver = AvatarClient(), Speaker(rig)
        await driver.publish(1, end=False)
        await driver.publish(1)
        await receive(socket, client, lambda: client.closings.get("1"))
        [played] = client.controller.rounds
        await receive(socket, client, lambda: played.frames == [b"m1", b"m2"])

        assert client.others[0]["type"] == "ready"
        assert client.others[0]["sessionId"] == rig.keys.id
        assert played.audio == PCM * 2
        assert client.closings == {"1": 1}


async def test_texts_are_made_once(open_rig, monkeypatch) -> None:
    """However many clients there are, live or catching up; native viewers beside them lose nothing."""
    made: list[bytes] = []

    def counted(data: bytes) -> texts.VendorMessages:
        if frame.decode(data).turn:  # what was before the first turn comes out of the stream, for each anew
            made.append(data)
        return texts.translate(data)

    monkeypatch.setattr("relay_gateway.dialects.avatarkit_json.translate", counted)
    async with open_rig(**OPTIONS) as rig, rig.viewer() as native, agent(rig) as one, agent(rig) as two:
        driver = Speaker(rig)
        for socket in (one, two):
            assert json.loads(await socket.receive_str())["type"] == "ready"
        await driver.publish(1)
        await driver.publish(2, pcm=PCM * 250)
        async with agent(rig) as late:
            for socket, turns in ((one, {"1", "2"}), (two, {"1", "2"}), (late, {"2"})):
                client = AvatarClient()
                await receive(socket, client, lambda client=client: "2" in client.closings)
                assert set(client.closings) == turns
        received = [await anext(native.frames()) for _ in range(4)]

    assert received[-1].kind in (Kind.AUDIO, Kind.MOTION)
    assert made
    assert len(made) == len(set(made)), "no frame twice"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "interrupt"}, uplink.Interrupt(0, "viewer")),
        ({"type": "text", "text": "hi"}, uplink.Text("hi")),
        ({"type": "text_query", "text": "hi"}, uplink.Text("hi")),
        ({"type": "mic_audio", "audio": b64encode(b"\1\2").decode()}, uplink.Microphone(b"\1\2")),
        ({"type": "mic_end"}, uplink.Microphone(b"", end=True)),
        ({"type": "play_sample", "clip": "hello"}, uplink.ClipRequest("hello")),
    ],
)
async def test_messages_reach_the_owner(open_rig, message: dict[str, str], expected: object) -> None:
    """Each as the native client's would."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        await socket.send_json(message)
        await socket.send_json({"type": "ping"})
        client = AvatarClient()
        await receive(socket, client, lambda: client.messages_of("pong"))

        assert await rig.uplink() == [expected]
        assert not client.messages_of("error")


async def test_answers(open_rig) -> None:
    """What needs no owner is answered here; unknown messages are ignored and counted."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        unknown = metric(UNKNOWN)
        for message in (
            {"type": "set_avatar", "avatarId": ""},
            {"type": "set_avatar", "avatarId": "ava"},
            {"type": "set_avatar", "avatarId": "other"},
            {"type": "start_agent", "language": "de"},
            {"type": "dance"},
            {"type": "ping"},
        ):
            await socket.send_json(message)
        client = AvatarClient()
        await receive(socket, client, lambda: client.messages_of("pong"))

        assert [message["type"] for message in client.others] == ["ready", "error", "agent_ready", "pong"]
        [error] = client.messages_of("error")
        assert (error["code"], error["message"]) == ("avatar_fixed", "this conversation's avatar is ava")
        assert metric(UNKNOWN) == unknown + 1
        assert await rig.uplink() == []


async def test_listeners_and_bad_messages(open_rig) -> None:
    """Refused in the clients' own words; enough bad messages end the socket."""
    async with open_rig(bad_messages=2, **OPTIONS) as rig:
        url = f"{rig.url}/ws/agent?token={rig.token(Role.LISTEN)}"
        async with rig.http.ws_connect(url) as socket:
            client = AvatarClient()
            await socket.send_json({"type": "text", "text": "x"})
            await socket.send_str("nonsense")
            await socket.send_bytes(b"binary")
            async for message in socket:
                client.receive(message.data)

        assert [error["code"] for error in client.messages_of("error")] == [
            "forbidden",
            "bad_message",
            "bad_message",
        ]
        assert socket.close_code == 4400
        assert await rig.uplink() == []


async def test_who_comes_back_gets_the_running_turn_from_its_start(open_rig) -> None:
    """Also at another gateway, and while it is only being played; between turns nothing comes again."""
    async with open_rig(gateways=2, **OPTIONS) as rig:
        driver = Speaker(rig)
        await driver.publish(1, end=False)
        for at in (0, 1):
            async with agent(rig, at=at) as socket:
                client = AvatarClient()
                await receive(socket, client, lambda client=client: client.turns)
                assert client.controller.rounds[0].audio == PCM

        await driver.publish(1, pcm=PCM * 200)  # 16 s
        async with agent(rig) as socket:
            client = AvatarClient()
            await receive(socket, client, lambda: client.closings.get("1"))
            assert client.controller.rounds[0].audio == PCM * 201

        driver.perform(driver.machine.interrupt(0, 1, "backend"))
        await rig.writer.drained()
        async with agent(rig) as socket:
            client = AvatarClient()
            await driver.publish(2)
            await receive(socket, client, lambda: "2" in client.closings)
            assert list(client.turns) == ["2"]
            assert client.interrupts == []


async def test_a_turn_that_has_played_is_not_told_again(open_rig) -> None:
    """It still plays by the record; it has ended by the clock."""
    async with open_rig(**OPTIONS) as rig:
        driver = Speaker(rig)
        await driver.publish(1, pcm=b"\1\2")  # no whole millisecond
        async with agent(rig) as socket:
            client = AvatarClient()
            await driver.publish(2)
            await receive(socket, client, lambda: "2" in client.closings)
            assert list(client.turns) == ["2"]


async def test_interrupts(open_rig) -> None:
    """The round is closed, then interrupted; the next turn is a new one."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        client, driver = AvatarClient(), Speaker(rig)
        await driver.publish(1, end=False)
        driver.perform(driver.machine.interrupt(0, 1, "viewer"))
        await driver.publish(2, end=False)
        await driver.publish(3)
        await receive(socket, client, lambda: "3" in client.closings)

        assert client.closings == {"1": 1, "2": 1, "3": 1}
        assert client.interrupts == ["client_interrupt", "agent_interrupt"]


async def test_a_turn_without_motion(open_rig) -> None:
    """A message reports it, and the audio plays to its end."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        client, driver = AvatarClient(), Speaker(rig)
        await driver.publish(1, end=False)
        failure = events.Error("upstreamError", "no", retryable=True)
        driver.perform(driver.machine.motion_failed(0, "upstreamError", failure))
        driver.perform(driver.machine.audio(0, 1, PCM, end=True))
        await receive(socket, client, lambda: client.closings.get("1"))

        assert client.controller.rounds[0].audio == PCM * 2
        assert [error["code"] for error in client.messages_of("error")] == ["upstreamError"]
        assert len(client.messages_of("status")) == 1


async def test_frames_that_are_gone(open_rig) -> None:
    """A client whose frames are lost receives the end of its round, and the next turn whole."""
    async with open_rig(ring_bytes=0, **OPTIONS) as rig, agent(rig) as socket:
        client, driver = AvatarClient(), Speaker(rig)
        await driver.publish(1, end=False)
        # All of it: a read that is under way when the reader pauses would still bring the next frame.
        await receive(socket, client, lambda: client.turns and client.controller.rounds[0].frames)
        rig.service.feeds._readers[rig.keys.id]._subscription.pause()
        await driver.publish(1, end=False)
        await driver.publish(1)
        lost = [e for e, f in await rig.store.entries(rig.keys.down) if frame.decode(f[b"f"]).turn == 1][3:5]
        await rig.store.client.execute("XDEL", rig.keys.down, *lost)
        rig.service.feeds._readers[rig.keys.id]._subscription.resume()
        await driver.publish(2)
        await receive(socket, client, lambda: "2" in client.closings)

        assert client.closings == {"1": 1, "2": 1}
        assert [played.audio for played in client.controller.rounds] == [PCM, PCM]


async def test_the_end_of_a_conversation(open_rig) -> None:
    """A word, then the close."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        driver = Speaker(rig)
        await driver.publish(1, end=False)
        driver.perform(driver.machine.close(0, "deleted"))
        client = AvatarClient()
        async for message in socket:
            client.receive(message.data)

        assert socket.close_code == 4410
        assert client.closings == {"1": 1}
        assert client.others[-1]["message"] == "the conversation is over: deleted"


async def test_what_clients_read_besides(open_rig) -> None:
    """The rate they play at is the one that is sent; nothing else of the settings is there."""
    async with open_rig(avatarkit_sample_rate=24000, **OPTIONS) as rig:
        await rig.service.heartbeat.wait_first_beats()
        http = rig.url.replace("ws", "http", 1)
        async with rig.http.get(f"{http}/api/config") as answer:
            assert await answer.json() == {
                "appId": "app", "avatarId": "ava", "region": "us-west", "environment": "intl",
                "inputSampleRate": 24000, "outputSampleRate": 24000,
                "missing": {"sample": [], "realtime": []},
                "clips": [], "clipsHint": "RELAY_AVATARKIT_CLIPS lists the clips of this relay",
            }  # fmt: skip
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with rig.http.get(f"{http}/healthz") as answer:
            assert await answer.json() == {"ok": True, "missing": []}
        assert await rig.refused(path=f"/ws/agent?token={rig.token()}") == (422, "unsupported-audio")


async def test_refusals(open_rig) -> None:
    """No token, a forged one, a conversation that is not there; no token gets into a log."""
    async with open_rig(**OPTIONS) as rig:
        forged, elsewhere = rig.token(key="x" * 40), rig.token(conversation="01JDNONE")
        with capture_logs() as logs:
            assert await rig.refused(path="/ws/agent", headers={}) == (401, "unauthorized")
            assert await rig.refused(path=f"/ws/agent?token={forged}", headers={}) == (401, "unauthorized")
            refusal = await rig.refused(path=f"/ws/agent?token={elsewhere}", headers={})
        assert refusal == (404, "unknown-conversation")
        assert forged not in repr(logs)
        assert elsewhere not in repr(logs)


async def test_both_doors_are_opened_by_name(open_rig) -> None:
    """No route without RELAY_AVATARKIT_CLIENTS, no token in the query without RELAY_AVATARKIT_URL_TOKEN."""
    async with open_rig() as rig:
        assert await rig.refused(path="/ws/agent") == (404, "not-found")
        async with rig.http.get(f"{rig.url.replace('ws', 'http', 1)}/api/config") as answer:
            assert answer.status == 404
    async with open_rig(avatarkit_clients=True, avatar_id="ava") as rig:
        assert await rig.refused(path=f"/ws/agent?token={rig.token()}", headers={}) == (401, "unauthorized")
        async with await rig.connect("/ws/agent") as socket:
            assert json.loads(await socket.receive_str())["type"] == "ready"


def test_clients_need_an_app_and_an_avatar() -> None:
    """Refused at the start, not at the first client."""
    with pytest.raises(SettingsError, match="SPATIUS_AVATAR_ID"):
        GatewaySettings.load(
            RELAY_TOKEN_SECRET=KEY, redis_url="redis://x", avatarkit_clients=True, app_id="app"
        )
