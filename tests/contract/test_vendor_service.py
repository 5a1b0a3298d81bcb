"""The vendor's service: what its SDK's own end-to-end tests expect of it, expected of the simulator.

``make sdk-test`` runs those tests themselves.
"""

import time
from typing import Any

import pytest
from aiohttp import WSMsgType
from spatius import AudioFormat, AvatarSDKError, AvatarSDKErrorCode, LiveKitEgressConfig
from spatius.proto.generated import message_pb2
from tests.rigs.ogg_opus import stream
from tests.rigs.simulator import simulated

from relay_simulator.audio import RATES
from relay_simulator.audio import AudioFormat as Format
from relay_simulator.motion import MOTION_BYTES_PER_MS

SPEECH_MS = 5300


@pytest.mark.parametrize("by_query", [False, True])
async def test_a_refused_token(by_query) -> None:
    """The body is the vendor's, byte for byte, whichever way the token came."""
    async with simulated() as s, s.client(start=False, use_query_auth=by_query) as client:
        client.session._session_token = "no-token-at-all"
        with pytest.raises(AvatarSDKError) as refused:
            await client.session.start()

    error = refused.value
    assert (error.code, error.phase, error.http_status) == (
        AvatarSDKErrorCode.sessionTokenInvalid, "websocket_connect", 400,
    )  # fmt: skip
    assert error.server_detail == "Invalid session token"
    assert error.raw_body == '{"message":"Invalid session token"}\n'


async def test_an_unknown_avatar() -> None:
    """404, in the same form."""
    async with simulated() as s, s.client(start=False, avatar_id="nobody") as client:
        with pytest.raises(AvatarSDKError) as refused:
            await client.session.start()

    error = refused.value
    assert (error.code, error.http_status) == (AvatarSDKErrorCode.avatarNotFound, 404)
    assert error.raw_body == '{"message":"Avatar not found"}\n'


async def test_an_expired_token() -> None:
    """A token that was valid once is refused otherwise than an unknown one."""
    async with simulated() as s, s.client(start=False, expires_in_s=1.5) as client:
        with pytest.raises(AvatarSDKError) as refused:
            while True:
                await client.session.start()
                await client.session.close()

    assert refused.value.code is AvatarSDKErrorCode.sessionTokenExpired


async def test_a_bad_livekit_token() -> None:
    """The handshake is answered with 16; the SDK calls it the egress's configuration."""
    egress = LiveKitEgressConfig(
        url="ws://127.0.0.1:9", api_token="bad-token", room_name="room", publisher_id="avatar"
    )
    async with simulated() as s, s.client(start=False, livekit_egress=egress) as client:
        with pytest.raises(AvatarSDKError) as refused:
            await client.session.start()

    error = refused.value
    assert (error.code, error.phase) == (AvatarSDKErrorCode.invalidEgressConfig, "websocket_handshake")
    assert error.server_code == "16"
    assert "unauthorized" in str(error.server_detail).lower()


ACCEPTED = [(Format.PCM, rate) for rate in RATES[Format.PCM]] + [
    (Format.OGG_OPUS, rate) for rate in RATES[Format.OGG_OPUS]
]


@pytest.mark.parametrize(("audio_format", "rate"), ACCEPTED)
@pytest.mark.parametrize("pieces", [1, 70])
async def test_a_request(audio_format, rate, pieces) -> None:
    """Each format at each of its rates, whole or in pieces: the motion is as long as the speech."""
    pcm = bytes(index % 251 for index in range(2 * (rate * SPEECH_MS // 1000)))
    data = pcm if audio_format is Format.PCM else stream(SPEECH_MS, rate)
    size = -(-len(data) // pieces)
    async with simulated() as s, s.client(sample_rate=rate, audio_format=AudioFormat(audio_format)) as client:
        for start in range(0, len(data), size):
            await client.session.send_audio(data[start : start + size])
        req_id = await client.session.send_audio(b"", end=True)
        await client.until_end()
        [request] = await s.requests()

    assert {payload.req_id for payload in client.payloads} == {req_id}
    assert [payload.end for payload in client.payloads] == [False] * 3 + [True]
    assert (request["audio_format"], request["sample_rate"]) == (audio_format, rate)
    assert (request["audio_ms"], request["audio_bytes"]) == (SPEECH_MS, len(data))
    around_the_motion = request["motion_bytes"] - SPEECH_MS * MOTION_BYTES_PER_MS
    assert 0 < around_the_motion < 100 * len(client.payloads)
    assert client.errors == []


@pytest.mark.parametrize(
    ("audio_format", "rate"),
    [("pcm_s16le", 12_000), ("ogg_opus", 44_100), ("pcm_s16le", 0), ("ogg_opus", -1)],
)
async def test_a_rate_that_the_format_does_not_have(audio_format, rate) -> None:
    """Refused at the handshake, by name."""
    async with simulated() as s, s.client(start=False, audio_format=audio_format, sample_rate=rate) as client:
        with pytest.raises(AvatarSDKError) as refused:
            await client.session.start()

    assert refused.value.server_code == "3"
    assert f"unsupported sample rate {rate}" in str(refused.value)


async def test_pcm_in_a_session_of_opus() -> None:
    """The request is refused by name, and the session continues with the next."""
    async with simulated() as s, s.client(sample_rate=24_000, audio_format="ogg_opus") as client:
        req_id = await client.session.send_audio(bytes(9600), end=True)
        next_id = await client.session.send_audio(stream(700, 24_000), end=True)
        await client.until_end()

    [error] = client.errors
    assert (error.req_id, error.server_code) == (req_id, "3")
    assert {payload.req_id for payload in client.payloads} == {next_id}


async def call_console(s: Any, body: Any, **options: Any) -> tuple[int, Any]:
    url = f"{s.url}/v1/console/session-tokens"
    content = {"data": body} if isinstance(body, bytes) else {"json": body}
    async with s.http.post(url, headers={"X-Api-Key": "key", **options}, **content) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("name", ["expireAt", "expire_at"])
@pytest.mark.parametrize("written", [int, str])
async def test_an_expiry_as_clients_write_it(name, written) -> None:
    """JSON of protobuf: both names, an int64 as a number or as text; further fields do not matter."""
    body = {name: written(int(time.time()) + 300), "appId": "app", "modelVersion": ""}
    async with simulated() as s:
        status, answer = await call_console(s, body)

    assert (status, list(answer)) == (200, ["sessionToken"])


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, "text", {"expireAt": None}, {"expireAt": True}, {"expireAt": "soon"}, {"expireAt": ""},
        {"expireAt": "9" * 5000}, {"expireAt": 10**400}, {"expire_at": -1}, {"expireAt": 1.5},
        {"expireAt": {}}, {"expireAt": "١٢٣"}, {"expireAt": 1}, b"\xff\xfe", b"", b"{", b"[" * 100_000,
    ],
)  # fmt: skip
async def test_an_expiry_that_is_none(body) -> None:
    """Whatever it is: 400, never a defect of ours."""
    async with simulated() as s:
        status, _ = await call_console(s, body)

    assert status == 400


@pytest.mark.parametrize(
    "first",
    [
        message_pb2.Message(type=message_pb2.MESSAGE_CLIENT_AUDIO_INPUT).SerializeToString(),
        b"\xff\xff\xff\xff",
        b"",
        "text",
        bytes.fromhex("080112051880fa0108"),
        message_pb2.Message(
            type=message_pb2.MESSAGE_CLIENT_CONFIGURE_SESSION,
            client_configure_session=message_pb2.ClientConfigureSession(sample_rate=16_000, audio_format=7),
        ).SerializeToString(),
        message_pb2.Message(
            type=message_pb2.MESSAGE_CLIENT_CONFIGURE_SESSION,
            client_configure_session=message_pb2.ClientConfigureSession(sample_rate=16_000, egress_type=9),
        ).SerializeToString(),
    ],
)
async def test_a_first_message_that_configures_nothing(first) -> None:
    """ServerError 3, and the socket is closed."""
    async with simulated() as s, s.client(start=False) as client:
        headers = {"X-App-ID": "app", "X-Session-Key": client.session._session_token}
        url = f"{s.endpoints['ingress_endpoint_url']}/websocket?id=ava"
        async with s.http.ws_connect(url, headers=headers) as socket:
            await (socket.send_str(first) if isinstance(first, str) else socket.send_bytes(first))
            answer = message_pb2.Message.FromString((await socket.receive()).data)
            assert (answer.type, answer.server_error.code) == (message_pb2.MESSAGE_SERVER_ERROR, 3)
            assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        assert await s.sessions() == []
