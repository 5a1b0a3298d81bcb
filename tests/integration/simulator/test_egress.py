"""Egress: a session whose motion goes into a room, as the vendor's SDK sees it."""

import time
from importlib.util import find_spec
from typing import Any

import jwt
import pytest
from spatius import AgoraEgressConfig, AvatarSDKError, AvatarSDKErrorCode, LiveKitEgressConfig
from tests.rigs.ogg_opus import stream
from tests.rigs.simulator import Simulated, simulated

SECRET = "planted-secret-of-a-room-server-of-32-characters"
ROOM = "room"
SPEED = 40


def agora() -> AgoraEgressConfig:
    """A room without a participant: only the session runs."""
    return AgoraEgressConfig(channel_name=ROOM, token="planted-secret", uid=7, publisher_id="avatar")


def token(*, room: str = ROOM, **changes: Any) -> str:
    """A join token as the LiveKit plug-in makes it."""
    now = int(time.time())
    claims = {
        "iss": "key", "sub": "avatar", "nbf": now - 1, "exp": now + 3600, "kind": "agent",
        "video": {"roomJoin": True, "room": room, "canSubscribe": False},
    }  # fmt: skip
    return jwt.encode({**claims, **changes}, SECRET, algorithm="HS256")


def livekit(url: str, api_token: str = "", **options: Any) -> LiveKitEgressConfig:
    """As the SDK takes it."""
    return LiveKitEgressConfig(
        url=url, **{"api_token": api_token or token(), "room_name": ROOM, "publisher_id": "avatar", **options}
    )


async def refusal(s: Simulated, **options: Any) -> AvatarSDKError:
    """How the handshake is answered."""
    async with s.client(start=False, **options) as client:
        with pytest.raises(AvatarSDKError) as refused:
            await client.session.start()
    assert refused.value.phase == "websocket_handshake"
    return refused.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_token": "", "api_key": "key"}, "missing livekit credentials"),
        ({"room_name": ""}, "room_name"),
        ({"url": ""}, "url"),
        ({"url": "rtmp://127.0.0.1/room"}, "url"),
        ({"url": "ws://127.0.0.1:99999"}, "url"),
        ({"url": "ws://"}, "url"),
        ({"idle_timeout": -1}, "idle_timeout"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
async def test_what_is_missing_of_a_livekit_room(changes, message) -> None:
    """3, by name."""
    egress = LiveKitEgressConfig(
        **{"url": "ws://127.0.0.1:9", "api_token": token(), "room_name": ROOM, "publisher_id": "a", **changes}
    )
    async with simulated() as s:
        error = await refusal(s, livekit_egress=egress)

    assert (error.server_code, error.code) == ("3", AvatarSDKErrorCode.invalidEgressConfig)
    assert message in str(error)


@pytest.mark.parametrize(
    ("changes", "message"), [({"token": ""}, "credentials"), ({"channel_name": ""}, "channel_name")]
)
async def test_what_is_missing_of_an_agora_channel(changes, message) -> None:
    """3, by name."""
    egress = AgoraEgressConfig(
        **{"channel_name": ROOM, "token": "t", "uid": 0, "publisher_id": "a", **changes}
    )
    async with simulated() as s:
        error = await refusal(s, agora_egress=egress)

    assert (error.server_code, error.code) == ("3", AvatarSDKErrorCode.invalidEgressConfig)
    assert message in str(error)


@pytest.mark.parametrize(
    "bad",
    [
        "bad-token",
        "a.b.c",
        token(exp=1),
        token(nbf=time.time() + 3600),
        token(room="another"),
        token(sub=""),
        token(video={"room": ROOM}),
        token(video="all"),
        token(video={"roomJoin": True, "room": ROOM, "canPublish": False}),
    ],
    ids=[
        "no JWT", "no JSON", "expired", "not valid yet", "another room", "no identity", "no right to join",
        "rights of no type", "no right to publish",
    ],
)  # fmt: skip
async def test_a_token_that_lets_nobody_in(bad) -> None:
    """16, before any server is asked; the token is in no log."""
    async with simulated() as s:
        error = await refusal(s, livekit_egress=livekit("ws://127.0.0.1:9", bad))

    assert (error.server_code, error.server_detail) == ("16", "unauthorized")


@pytest.mark.parametrize("scheme", ["ws", "wss", "http", "https"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
async def test_a_room_server_that_is_not_there(scheme) -> None:
    """14, whether the token came or is made of key and secret."""
    async with simulated() as s:
        for changes in ({}, {"api_token": None, "api_key": "key", "api_secret": SECRET}):
            credentials = {"api_token": token(), **changes}
            egress = LiveKitEgressConfig(
                url=f"{scheme}://127.0.0.1:9", room_name=ROOM, publisher_id="avatar",
                **{name: text for name, text in credentials.items() if text},
            )  # fmt: skip
            error = await refusal(s, livekit_egress=egress)

            assert (error.server_code, error.code) == ("14", AvatarSDKErrorCode.egressUnavailable)


async def test_no_motion_over_the_socket() -> None:
    """Only the end of each request, in order, when its audio has been played."""
    pcm = bytes(3 * 32_000)
    async with simulated() as s, s.client(agora_egress=agora()) as client:
        begun = time.monotonic()
        ids = [await client.session.send_audio(pcm, end=True) for _ in range(2)]
        while len(client.payloads) < 2:
            await client.until_end()
        played_s = time.monotonic() - begun
        requests = await s.requests()

    assert [(payload.req_id, payload.end) for payload in client.payloads] == [
        (req_id, True) for req_id in ids
    ]
    assert max(payload.ByteSize() for payload in client.payloads) < 100
    assert played_s >= 6 / SPEED
    assert [(r["playback_ms"], r["interrupted"], r["ended"], r["payloads"]) for r in requests] == [
        (3000, False, True, 1)
    ] * 2


async def test_opus_is_played_as_long_as_it_sounds() -> None:
    """By its granule positions, as the plug-in sends it by default."""
    async with simulated() as s:
        async with s.client(agora_egress=agora(), audio_format="ogg_opus", sample_rate=24_000) as client:
            await client.session.send_audio(stream(2340, 24_000), end=True)
            await client.until_end()
        [request] = await s.requests()

    assert (request["audio_ms"], request["playback_ms"]) == (2340, 2340)


async def test_an_interrupt_drops_what_waits(eventually) -> None:
    """The request that plays ends where it is, those behind it at 0; late audio of theirs is dropped."""
    async with simulated(simulator_speed=10) as s, s.client(agora_egress=agora()) as client:
        first = await client.session.send_audio(bytes(60 * 32_000), end=True)
        await eventually(s.requests, until=lambda shown: shown and shown[0]["playback_ms"] >= 500)
        second = await client.session.send_audio(bytes(32_000))
        assert await client.session.interrupt() == second
        client.session._current_req_id = second
        await client.session.send_audio(bytes(64_000), end=True)
        await eventually(lambda: len(client.payloads) == 2)
        third = await client.session.send_audio(bytes(32_000), end=True)
        await eventually(lambda: len(client.payloads) == 3)
        requests = {request["req_id"]: request for request in await s.requests()}

    assert [(payload.req_id, payload.end) for payload in client.payloads] == [
        (first, True), (second, True), (third, True),
    ]  # fmt: skip
    assert 500 <= requests[first]["playback_ms"] < 60_000
    assert (requests[second]["playback_ms"], requests[third]["playback_ms"]) == (0, 1000)
    assert [requests[req_id]["interrupted"] for req_id in (first, second, third)] == [True, True, False]
    assert len(requests) == 3


async def test_an_interrupt_of_what_is_over() -> None:
    """It sends nothing, and the next request plays whole."""
    async with simulated() as s, s.client(agora_egress=agora()) as client:
        await client.session.send_audio(bytes(32_000), end=True)
        await client.until_end()
        await client.session.interrupt()
        await client.session.send_audio(bytes(32_000), end=True)
        await client.until_end()
        requests = await s.requests()

    assert [(request["playback_ms"], request["interrupted"]) for request in requests] == [(1000, False)] * 2


async def test_requests_of_nothing() -> None:
    """An end without audio is an end."""
    async with simulated() as s, s.client(agora_egress=agora()) as client:
        await client.session.send_audio(b"", end=True)
        await client.until_end()

    assert len(client.payloads) == 1


async def test_an_interrupt_without_a_room() -> None:
    """Its effect is not published: the stand-in continues as if there were none."""
    async with simulated() as s, s.client() as client:
        await client.session.send_audio(bytes(5 * 32_000), end=True)
        await client.session.interrupt()
        await client.until_end()
        [request] = await s.requests()

    assert request["payloads"] == len(client.payloads) == 4
    assert not request["interrupted"]


async def test_silence_in_a_room(eventually) -> None:
    """The session ends by the room's text, after the time without audio since what was played has ended."""
    async with simulated(simulator_idle_s=20) as s, s.client(agora_egress=agora()) as client:
        await client.session.send_audio(bytes(60 * 32_000), end=True)
        await client.closed.wait()

    assert [payload.end for payload in client.payloads] == [True]
    [error] = client.errors
    assert error.code is AvatarSDKErrorCode.idleTimeout
    assert "livekit silence timeout" in str(error)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error_4001", AvatarSDKErrorCode.creditsExhausted),
        ("idle_timeout", AvatarSDKErrorCode.idleTimeout),
        ("abort", AvatarSDKErrorCode.connectionClosed),
        ("garbage", AvatarSDKErrorCode.protocolError),
    ],
)
async def test_faults_of_a_session(eventually, fault, code) -> None:
    """They are injected at the end of a playback."""
    async with simulated() as s:
        await s.admin("POST", "faults", at="session", fault=fault, after_payloads=0)
        async with s.client(agora_egress=agora()) as client:
            await client.session.send_audio(bytes(32_000), end=True)
            await eventually(lambda: client.errors)

    assert [error.code for error in client.errors] == [code]
    assert client.payloads == []


@pytest.mark.skipif(find_spec("livekit") is not None, reason="the package livekit would join the room")
async def test_what_is_shown(caplog) -> None:
    """The room, the identity and the attributes; no token, nor what a URL may hold of a secret."""
    async with simulated() as s:
        address = s.url.removeprefix("http://")
        egress = livekit(
            f"ws://user:{SECRET}@{address}/?key={SECRET}",
            idle_timeout=30,
            extra_attributes={"livekit_agent_identity": "agent"},
        )
        async with s.client(livekit_egress=egress) as client:
            [session] = await s.sessions()
            await client.session.send_audio(bytes(32_000), end=True)
            await client.until_end()

    assert session["egress"] == {
        "type": "livekit", "url": f"ws://{address}", "room": ROOM, "publisher_id": "avatar",
        "idle_timeout_s": 30, "attributes": {"livekit_agent_identity": "agent"},
    }  # fmt: skip
    assert SECRET not in str(session)
    assert token()[:20] not in str(session)


async def test_what_is_shown_of_other_sessions() -> None:
    """An Agora channel without its token; without egress the kind alone."""
    async with simulated() as s, s.client(agora_egress=agora()), s.client():
        shown = [session["egress"] for session in await s.sessions()]

    assert shown == [
        {
            "type": "agora",
            "url": "",
            "room": ROOM,
            "publisher_id": "avatar",
            "idle_timeout_s": 0,
            "attributes": {},
        },
        {"type": "websocket"},
    ]
