"""`/ws/host`: the vendor's binary protocol at a real gateway (facts 5.1)."""

import asyncio
import io
import json
import struct
import wave
from typing import Any

import aiohttp
import pytest
from tests.rigs import otlp
from tests.rigs.eventually import eventually
from tests.rigs.gateway import GatewayRig
from tests.rigs.metrics import metric
from tests.rigs.raw_websocket import BINARY, CLOSE, TEXT, client_frame, line

from relay_auth.viewer_tokens import Role
from relay_gateway.dialects.dialect import UNKNOWN
from relay_telemetry import semconv, traces
from relay_turns.effects import Effect, Publish
from relay_turns.machine import TurnMachine
from relay_turns.rules import Rules
from relay_wire import events, uplink
from relay_wire.avatarkit import host

OPTIONS: dict[str, Any] = {"avatarkit_clients": True, "avatarkit_url_token": True, "avatar_id": "ava"}
PCM = bytes(range(256)) * 4


async def receive_message(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, int, bytes]:
    """The next message: type, flags, payload."""
    data = await socket.receive_bytes(timeout=10)
    return data[0], data[1], data[2:]


def items(payload: bytes) -> list[bytes]:
    """A list of motion payloads, as a client reads it."""
    (count,), rest, found = struct.unpack_from(">I", payload), payload[4:], []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", rest)
        found.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    assert not rest
    return found


def publish(open_rig: GatewayRig, effects: list[Effect]) -> None:
    publishes = [effect for effect in effects if isinstance(effect, Publish)]
    open_rig.writer.append(publishes, checkpoint=b"")


async def uploaded(open_rig: GatewayRig) -> list[uplink.SpeechChunk]:
    """The speech in the uplink, once its end is."""

    async def chunks() -> list[uplink.SpeechChunk]:
        return [entry for entry in await open_rig.uplink() if isinstance(entry, uplink.SpeechChunk)]

    return await eventually(chunks, within_s=30, until=lambda found: found and found[-1].end)


async def test_a_turn(open_rig) -> None:
    """The speech is in the uplink byte for byte; motion comes back, its last flagged; then the close."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start", "sample_rate": 16000})
        kind, _, about = await receive_message(socket)
        assert kind == 3
        assert json.loads(about) == {
            "sample_rate": 16000, "channels": 1, "avatar_id": "ava", "connection_id": rig.keys.id,
        }  # fmt: skip
        await socket.send_bytes(b"\1\0" + PCM)
        await socket.send_bytes(b"\1\1" + PCM)
        chunks = await uploaded(rig)
        machine = TurnMachine(Rules(sample_rate=16000))
        publish(rig, machine.audio(0, 1, PCM * 2, end=True, barge_in=False))
        machine.request_opened(1, "r")
        publish(rig, machine.motion(0, "r", b"m1", last=False))
        publish(rig, machine.motion(0, "r", b"m2", last=True))

        assert await receive_message(socket) == (2, 0, struct.pack(">II", 1, 2) + b"m1")
        kind, flags, payload = await receive_message(socket)
        assert (kind, flags, items(payload)) == (2, 1, [b"m2"])
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000
        assert b"".join(entry.pcm for entry in chunks) == PCM * 2
        assert chunks[-1].end


async def test_a_viewer_that_leaves_in_the_middle_of_its_speech(open_rig) -> None:
    """The span of its speech is recorded, with the reason that there is no more."""
    async with otlp.collector() as receiver:
        running = traces.exporting("gateway", url=f"{receiver.url}/v1/traces", ratio=1.0)
        await asyncio.to_thread(running.__enter__)
        async with (
            open_rig(**OPTIONS) as rig,
            rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
        ):
            await socket.send_json({"action": "start", "sample_rate": 16000})
            await receive_message(socket)
            await socket.send_bytes(b"\1\0" + PCM)
            await eventually(rig.uplink, until=lambda found: found)
        await asyncio.to_thread(running.__exit__, None, None, None)

    [span] = receiver.named(semconv.SEND_UP)
    assert span.error == "ViewerLeft"
    assert (span.attributes[semconv.SOURCE], span.attributes[semconv.AUDIO_BYTES]) == ("viewer", len(PCM))


async def test_a_wav_file_is_spoken_without_its_header(open_rig) -> None:
    """Cut anywhere."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(PCM)
    body = data.getvalue()
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start", "sample_rate": 16000})
        for start in range(0, len(body), 30):
            piece = body[start : start + 30]
            await socket.send_bytes(bytes((1, start + 30 >= len(body))) + piece)
        assert b"".join(entry.pcm for entry in await uploaded(rig)) == PCM


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"ID3\x04\0\0\0\0\0\0" + PCM, "this is MP3"),
        (
            b'{"error": {"code": 401, "message": "API key not valid. Please pass a valid API key."}}',
            "this is text",
        ),
    ],
)
async def test_what_is_no_pcm_is_refused_by_name(open_rig, audio: bytes, reason: str) -> None:
    """As at control. No byte of it is spoken, nor of the audio after it."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start", "sample_rate": 16000})
        assert (await receive_message(socket))[0] == 3
        for _ in range(2):
            await socket.send_bytes(b"\1\0" + audio)
            kind, _, payload = await receive_message(socket)
            assert kind == 4
            assert reason in json.loads(payload)["error"]
        assert not await rig.uplink()


async def test_no_motion_to_come(open_rig) -> None:
    """An error reports it, and the motion list ends nevertheless."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        await socket.send_bytes(b"\1\1" + PCM)
        await uploaded(rig)
        machine = TurnMachine(Rules(sample_rate=16000))
        publish(rig, machine.audio(0, 1, PCM, end=True, barge_in=False))
        failure = events.Error("upstreamError", "no", retryable=True)
        publish(rig, machine.motion_failed(0, "upstreamError", failure))

        received = [await receive_message(socket) for _ in range(3)]
        assert [kind for kind, _, _ in received] == [4, 4, 2]
        assert received[-1][1:] == (1, bytes(4))


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("nonsense", "not a start"),
        ('{"action": "stop"}', "not a start"),
        ('{"action": "start", "sample_rate": 1}', "sample_rate: one of"),
        ('{"action": "start", "sample_rate": 48000}', "sample_rate: this is 16000 Hz"),
        (b"\1\0", "the first message is a start"),
    ],
)
async def test_bad_starts(open_rig, first: str | bytes, why: str) -> None:
    """An ERROR in words, and a close."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await (socket.send_str(first) if isinstance(first, str) else socket.send_bytes(first))
        kind, _, payload = await receive_message(socket)
        assert kind == 4
        assert why in json.loads(payload)["error"]
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4400


async def test_who_says_nothing_is_closed(open_rig) -> None:
    """After its own timeout."""
    async with (
        open_rig(avatarkit_start_s=0.05, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        kind, _, payload = await receive_message(socket)
        assert (kind, json.loads(payload)["error"]) == (4, "no start within 0.05 s")


async def test_what_the_vendors_server_ignores(open_rig) -> None:
    """Other messages, before the last piece and after it; none is answered, and all are counted."""
    async with (
        open_rig(bad_messages=1, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        ignored = metric(UNKNOWN)
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        for message in (b"", b"\1", b"\2\0xx"):
            await socket.send_bytes(message)
        await socket.send_str("text")
        await socket.send_bytes(b"\1\1" + PCM)
        await socket.send_bytes(b"\1\0" + PCM)
        await eventually(lambda: metric(UNKNOWN) == ignored + 4)

        assert b"".join(entry.pcm for entry in await uploaded(rig)) == PCM
        assert not socket.closed


@pytest.mark.parametrize("cut", [1, 639, 641])
async def test_pieces_are_cut_anywhere(open_rig, cut: int) -> None:
    """A sample whose bytes come in two pieces is whole."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        for start in range(0, len(PCM), cut):
            await socket.send_bytes(bytes((1, start + cut >= len(PCM))) + PCM[start : start + cut])

        assert b"".join(entry.pcm for entry in await uploaded(rig)) == PCM


@pytest.mark.parametrize("piece_bytes", [640, 3200, 320_000])
async def test_an_upload_is_not_paced_by_the_client(open_rig, piece_bytes: int) -> None:
    """10 s of speech at once, beyond every limit of a viewer: it is read at the limit's rate, and whole."""
    speech = PCM * (320_000 // len(PCM))
    async with (
        open_rig(messages_per_s=10, message_bytes_per_s=200_000, message_burst_s=1, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        for start in range(0, len(speech), piece_bytes):
            last = start + piece_bytes >= len(speech)
            await socket.send_bytes(bytes((1, last)) + speech[start : start + piece_bytes])

        assert b"".join(entry.pcm for entry in await uploaded(rig)) == speech


async def test_a_message_beyond_the_limit(open_rig) -> None:
    """An ERROR precedes the close."""
    async with (
        open_rig(avatarkit_upload_bytes=2048, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        await socket.send_bytes(b"\1\0" + bytes(4096))
        kind, _, payload = await receive_message(socket)
        assert (kind, "2048 bytes" in json.loads(payload)["error"]) == (4, True)
        while not socket.closed:
            await socket.receive(timeout=5)
        assert socket.close_code == 1009


async def test_silence_before_the_end_of_the_turn(open_rig) -> None:
    """An ERROR, the end of the motion, and a close; the time runs anew with each message."""
    async with (
        open_rig(avatarkit_silence_s=0.3, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        await socket.send_bytes(b"\1\0" + PCM)
        errors = []
        while (message := await socket.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            errors.append(message.data)
        assert b"nothing was sent for 0.3 s" in errors[0]
        assert errors[-1] == bytes((2, 1)) + bytes(4)
        assert socket.close_code == 4400


async def test_uploads_are_limited(open_rig) -> None:
    """Each may hold a whole message in memory."""
    async with (
        open_rig(avatarkit_uploads=1, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}"),
    ):
        assert await rig.refused(path=f"/ws/host?token={rig.token()}", headers={}) == (503, "gateway-full")


async def test_listeners_bring_no_speech(open_rig) -> None:
    """A token of role `listen` gets the motion, and may not speak."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token(Role.LISTEN)}") as socket,
    ):
        await socket.send_json({"action": "start"})
        await receive_message(socket)
        await socket.send_bytes(b"\1\1" + PCM)
        kind, _, payload = await receive_message(socket)
        assert (kind, json.loads(payload)) == (4, {"error": "the token's role is to listen"})
        assert await rig.uplink() == []


async def test_a_ping_before_the_start_is_answered(open_rig) -> None:
    """Libraries ping by themselves; the first message may take its time."""
    async with (
        open_rig(**OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}", autoping=False) as socket,
    ):
        for _ in range(3):
            await socket.ping(b"there?")
            answer = await socket.receive(timeout=5)
            assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")
        await socket.pong(b"unasked")
        await socket.send_json({"action": "start", "sample_rate": 16000.0, "avatar_id": None})
        kind, _, _ = await receive_message(socket)
        assert kind == 3


async def test_a_flood_before_the_start_is_cut(open_rig) -> None:
    """With the code for it, as later."""
    async with (
        open_rig(**OPTIONS, messages_per_s=1, message_burst_s=3) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}", autoping=False) as socket,
    ):
        for _ in range(8):
            await socket.ping()
        async with asyncio.timeout(5):
            async for _ in socket:
                pass
        assert socket.close_code == 4201


async def test_a_conversation_that_is_over(open_rig) -> None:
    """An error, and the code for it."""
    async with open_rig(**OPTIONS) as rig:
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")
        async with rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket:
            await socket.send_json({"action": "start"})
            assert (await receive_message(socket))[0] == 4
            async for _ in socket:
                pass
            assert socket.close_code == 4410


async def test_an_error_in_a_frame_ends_the_motion(open_rig) -> None:
    """As any close by the gateway: an ERROR, and an empty last ANIMATION."""
    async with open_rig(**OPTIONS) as rig, line(rig) as client:
        assert (await client.ask(f"/ws/host?token={rig.token()}", {})).status == 101
        client.writer.write(client_frame(TEXT, b'{"action": "start"}') + client_frame(BINARY, b"\1\0" + PCM))
        await eventually(rig.uplink, until=lambda found: found)
        client.writer.write(client_frame(TEXT, b"{}", masked=False))
        _, (_, error), motion, close = [message async for message in client.messages()]
    assert json.loads(error[2:]) == {"error": "broken WebSocket framing"}
    assert (motion, close[0], close[1][:2]) == ((BINARY, host.end()), CLOSE, b"\x03\xea")
