"""Closes of the vendor's JSON clients: no round stays open, and every client notices."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.avatarkit import OPTIONS, PCM, Speaker, agent, receive
from tests.rigs.metrics import metric
from tests.rigs.raw_websocket import CLOSE, TEXT, Line, client_frame, line

from relay_gateway.accept import CLOSES
from relay_wire.close_codes import REGISTRY

OKHTTP = {"User-Agent": "okhttp/4.12.0"}


@asynccontextmanager
async def in_a_turn(
    rig: Any, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, AvatarClient, Speaker]]:
    """A client that has received the first audio and motion of a turn."""
    async with agent(rig, headers=headers) as socket:
        client, speaker = AvatarClient(), Speaker(rig)
        await speaker.publish(1, end=False)
        await receive(socket, client, lambda: client.controller.rounds and client.controller.rounds[0].frames)
        yield socket, client, speaker


async def rest_of(socket: aiohttp.ClientWebSocketResponse, client: AvatarClient) -> None:
    """Handle messages until the socket's end."""
    async with asyncio.timeout(10):
        async for message in socket:
            client.receive(message.data)


async def test_a_drain_lets_the_turn_end(open_rig) -> None:
    """The rest of the turn comes whole, then the close."""
    async with open_rig(drain_s=3, **OPTIONS) as rig, in_a_turn(rig) as (socket, client, speaker):
        drain = asyncio.create_task(rig.service.drain())
        await receive(socket, client, lambda: client.messages_of("status"))
        await speaker.publish(1)
        await rest_of(socket, client)
        await drain

    assert (client.closings, socket.close_code) == ({"1": 1}, 1012)
    [played] = client.controller.rounds
    assert (played.audio, played.frames) == (PCM * 2, [b"m1", b"m2"])


async def test_who_is_in_no_turn_leaves_first(open_rig) -> None:
    """Between turns there is nothing to wait for."""
    async with open_rig(drain_s=0.4, **OPTIONS) as rig, agent(rig) as socket:
        client, speaker = AvatarClient(), Speaker(rig)
        await speaker.publish(1)
        await receive(socket, client, lambda: client.closings and not client.awaits_motion)
        drain = asyncio.create_task(rig.service.drain())
        await rest_of(socket, client)
        await drain
    assert (client.closings, socket.close_code) == ({"1": 1}, 1012)


async def test_a_turn_that_outlasts_the_drain(open_rig) -> None:
    """Its round is closed before the socket."""
    async with open_rig(drain_s=0.2, **OPTIONS) as rig, in_a_turn(rig) as (socket, client, _):
        drain = asyncio.create_task(rig.service.drain())
        await rest_of(socket, client)
        await drain
    assert (client.closings, socket.close_code) == ({"1": 1}, 1012)


@pytest.mark.parametrize(
    ("settings", "messages", "code"),
    [
        ({"bad_messages": 1}, ["nonsense"], 4400),
        ({"gateway_max_message_bytes": 1024}, [json.dumps({"type": "text", "text": "x" * 2000})], 1009),
        ({"message_bytes_per_s": 10, "message_burst_s": 1}, ['{"type": "ping"}'] * 4, 4201),
        ({"messages_per_s": 1, "message_burst_s": 2}, ['{"type": "ping"}'] * 9, 4201),
    ],
)
async def test_every_close_by_the_gateway_ends_the_round(
    open_rig, settings: dict[str, Any], messages: list[str], code: int
) -> None:
    """For whatever reason: without its end the avatar would move for ever."""
    async with open_rig(**settings, **OPTIONS) as rig, in_a_turn(rig) as (socket, client, _):
        for message in messages:
            await socket.send_str(message)
        await rest_of(socket, client)
    assert (client.closings, socket.close_code) == ({"1": 1}, code)


@asynccontextmanager
async def byte_by_byte(
    rig: Any, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Line, AvatarClient]]:
    """As ``in_a_turn``, for a client whose frames are written by the test."""
    async with line(rig) as opened:
        answer = await opened.ask(f"/ws/agent?token={rig.token()}", headers or {})
        assert answer.status == 101
        client, speaker = AvatarClient(), Speaker(rig)
        await speaker.publish(1, end=False)
        async for first, payload in opened.messages():
            assert first == TEXT
            client.receive(payload.decode())
            if client.controller.rounds and client.controller.rounds[0].frames:
                break
        yield opened, client


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (client_frame(TEXT, b"{}", masked=False), 1002),
        (client_frame(0x83), 1002),
        (client_frame(CLOSE, b"\x03\xee"), 1002),
        (client_frame(CLOSE, b"\xff\xff"), 1002),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b" " * 2000), 1009),
        (client_frame(0x01, b" " * 1000) + client_frame(0x80, b" " * 1000), 1009),
    ],
)
@pytest.mark.parametrize("headers", [{}, OKHTTP])
async def test_an_error_in_a_frame_ends_the_round(
    open_rig, eventually, sent: bytes, code: int, headers: dict[str, str]
) -> None:
    """aiohttp finds it. The end of the round comes before the close, or alone for who does not notice one."""
    async with open_rig(gateway_max_message_bytes=1024, **OPTIONS) as rig:
        name = REGISTRY[code].name
        counted = metric(CLOSES, code=name)
        async with byte_by_byte(rig, headers) as (opened, client):
            opened.writer.write(sent)
            rest = [message async for message in opened.messages()]
        closes = [int.from_bytes(payload[:2]) for first, payload in rest if first == CLOSE]
        for _, payload in rest[: len(rest) - len(closes)]:
            client.receive(payload.decode())
        assert (client.closings, closes) == ({"1": 1}, [] if headers else [code])
        await eventually(lambda: metric(CLOSES, code=name) == counted + 1)


@pytest.mark.parametrize(("headers", "code"), [(OKHTTP, 1006), ({"User-Agent": "Mozilla/5.0"}, 4400)])
async def test_who_does_not_notice_a_close_is_cut(open_rig, headers: dict[str, str], code: int) -> None:
    """The Android app has no handler for a close message; what was written before the cut arrives."""
    async with open_rig(bad_messages=1, **OPTIONS) as rig, in_a_turn(rig, headers) as (socket, client, _):
        await socket.send_str("nonsense")
        await rest_of(socket, client)
    assert (client.closings, socket.close_code) == ({"1": 1}, code)
    assert client.messages_of("error")
