"""The vendor's official clients against the whole relay, unchanged: they know a URL."""

import asyncio
import json
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import pairwise

import aiohttp
import pytest
import pytest_asyncio
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.redis_server import Server

from relay_wire.pcm import chunks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_official_clients")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory, speech: bytes
) -> AsyncIterator[Relay]:
    """One relay, open to each kind of client, whose workers have the agent ``clips``."""
    clips = tmp_path_factory.mktemp("clips")
    (clips / "hello.pcm").write_bytes(speech[:32_000])
    settings = {
        "RELAY_AVATARKIT_CLIENTS": "true", "RELAY_AVATARKIT_URL_TOKEN": "true",
        "RELAY_AVATARKIT_GUESTS": "true", "RELAY_AVATARKIT_AVATARS": "hosted",
        "RELAY_AVATARKIT_AGENT": "clips", "RELAY_AGENT_CLIPS_DIR": str(clips),
    }  # fmt: skip
    async with open_relay(redis_server.url, gateways=1, workers=1, speed=4.0, settings=settings) as opened:
        yield opened


async def test_a_json_client_receives_the_backends_speech(r: Relay, speech) -> None:
    """Two turns, the first interrupted while it plays; audio and motion byte for byte."""
    conversation = await r.converse(avatar_id="official")
    token = (await r.backend.token(conversation)).token
    base = r.stack.gateway_urls[0]
    async with r.http.get(f"{base.replace('ws', 'http', 1)}/api/config") as answer:
        config = await answer.json()
    async with r.http.ws_connect(f"{base}/ws/agent?token={token}", max_msg_size=2**20) as socket:
        client = AvatarClient()
        await r.backend.post_turn(conversation, speech)
        while not client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))
        await socket.send_json({"type": "interrupt"})
        while not client.interrupts:
            client.receive(await socket.receive_str(timeout=20))
        await r.backend.post_turn(conversation, speech)
        while "2" not in client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))
        await r.backend.end(conversation)
        async for message in socket:
            client.receive(message.data)

    assert config["inputSampleRate"] == 16000
    assert client.others[0]["type"] == "ready"
    assert client.closings == {"1": 1, "2": 1}
    assert client.interrupts == ["client_interrupt", "agent_interrupt"], "the second by the deletion"
    assert [played.audio for played in client.controller.rounds] == [speech, speech]
    assert [played.frames for played in client.controller.rounds] == await r.expected_motion(
        speech, "official"
    )
    assert token not in r.logs()


async def test_a_guest_talks_with_an_agent(r: Relay, speech) -> None:
    """A clip by name, and its own microphone audio repeated; each a turn with motion."""
    async with r.http.ws_connect(f"{r.stack.gateway_urls[0]}/ws/agent", max_msg_size=2**20) as socket:
        client = AvatarClient()
        await socket.send_json({"type": "start_agent"})
        await socket.send_json({"type": "play_sample", "clip": "../hello"})
        await socket.send_json({"type": "play_sample", "clip": "hello"})
        while not client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))

    [played] = client.controller.rounds
    assert played.audio == speech[:32_000]
    assert played.frames
    assert [error["code"] for error in client.messages_of("error")] == ["unknown_clip"]


async def test_a_client_without_mic_end_talks_with_echo(r: Relay) -> None:
    """The newest generation: an open microphone without a marked end, then a typed line; each is a turn."""
    voice = (b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 400
    microphone = bytes(32_000) + voice + bytes(32_000)
    conversation = await r.converse(avatar_id="official", agent="echo")
    token = (await r.backend.token(conversation)).token
    url = f"{r.stack.gateway_urls[0]}/c/{token}/ws/agent"
    async with r.http.ws_connect(url, max_msg_size=2**20) as socket:
        client = AvatarClient()
        await socket.send_json({"type": "start_agent"})
        for piece in chunks(microphone, 3200):
            await socket.send_json({"type": "mic_audio", "audio": b64encode(piece).decode()})
        while "1" not in client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))
        await socket.send_json({"type": "text", "text": "hello"})
        while "2" not in client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))

    repeated, tones = client.controller.rounds
    assert repeated.audio == bytes(6400) + voice + bytes(6400)
    assert any(tones.audio)
    assert repeated.frames
    assert tones.frames
    assert [(said["role"], said["text"]) for said in client.messages_of("transcript")] == [
        ("assistant", "hello")
    ]


async def test_echo_keeps_the_pitch_at_another_rate(r: Relay) -> None:
    """Clients record at 16 kHz and play the conversation's 24 kHz: the voice lasts as long as it did."""
    voice = (b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 400
    conversation = await r.converse(avatar_id="official", agent="echo", sample_rate=24_000)
    token = (await r.backend.token(conversation)).token
    async with r.http.ws_connect(
        f"{r.stack.gateway_urls[0]}/c/{token}/ws/agent", max_msg_size=2**20
    ) as socket:
        client = AvatarClient()
        for piece in chunks(voice + bytes(32_000), 3200):
            await socket.send_json({"type": "mic_audio", "audio": b64encode(piece).decode()})
        while "1" not in client.closings or client.awaits_motion:
            client.receive(await socket.receive_str(timeout=20))

    [repeated] = client.controller.rounds
    assert client.others[0]["outputSampleRate"] == 24_000
    assert len(repeated.audio) == (len(voice) + 6400) * 3 // 2
    assert rises(repeated.audio) == rises(voice + bytes(2))


def rises(pcm: bytes) -> int:
    """How often a tone rises through zero."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return sum(one < 0 <= other for one, other in pairwise(samples))


async def test_a_client_is_informed_of_what_no_agent_answers(r: Relay) -> None:
    """An open microphone on a conversation of the backend: one status, and the backend's turns are whole."""
    conversation = await r.converse(avatar_id="official")
    token = (await r.backend.token(conversation)).token
    async with r.http.ws_connect(f"{r.stack.gateway_urls[0]}/c/{token}/ws/agent") as socket:
        client = AvatarClient()
        piece = {"type": "mic_audio", "audio": b64encode(bytes(3200)).decode()}
        for _ in range(20):
            await socket.send_json(piece)
        while not client.messages_of("status"):
            client.receive(await socket.receive_str(timeout=20))
        for _ in range(20):
            await socket.send_json(piece)
        await socket.send_json({"type": "ping"})
        while not client.messages_of("pong"):
            client.receive(await socket.receive_str(timeout=20))

    assert [status["message"] for status in client.messages_of("status")] == [
        "this conversation's agent does not answer messages of the kind microphone"
    ]
    assert not client.messages_of("error")


async def test_a_binary_client_gets_motion_for_its_speech(r: Relay, speech) -> None:
    """A guest: it uploads a turn, and receives its motion, whole and in order."""
    url = f"{r.stack.gateway_urls[0]}/ws/host"
    frames: list[bytes] = []
    about = {}
    async with r.http.ws_connect(url) as socket, asyncio.timeout(30):
        await socket.send_json({"action": "start", "avatar_id": "hosted", "sample_rate": 16000})
        for start in range(0, len(speech), 3200):
            last = start + 3200 >= len(speech)
            await socket.send_bytes(bytes((1, last)) + speech[start : start + 3200])
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.BINARY
            kind, payload = message.data[0], message.data[2:]
            assert kind in (2, 3), payload
            if kind == 3:
                about = json.loads(payload)
                continue
            assert struct.unpack_from(">II", payload) == (1, len(payload) - 8)
            frames.append(payload[8:])

    assert socket.close_code == 1000
    assert about["avatar_id"] == "hosted"
    assert [frames] == await r.expected_motion(speech, "hosted")
