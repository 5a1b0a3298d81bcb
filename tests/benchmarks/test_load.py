"""The load client against real sockets: what it counts is what came."""

import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from tests.benchmarks.load import Crowd, Endpoint, Rule
from tests.benchmarks.traffic import MAGIC, STAMP


class Sender(WSListener):
    """A server's side that sends these messages once it is asked."""

    def __init__(self, send: Callable[[WSTransport], None]) -> None:
        self._send = send

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._send(transport)


@asynccontextmanager
async def serving(send: Callable[[WSTransport], None]) -> AsyncIterator[str]:
    def listener(_: WSUpgradeRequest) -> WSListener:
        return Sender(send)

    server = await ws_create_server(listener, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def payload(seq: int) -> bytes:
    return STAMP.pack(MAGIC, time.monotonic_ns(), seq) + bytes(500)


async def count(
    send: Callable[[WSTransport], None], frames: int, eventually, *rules: Rule, delimited: bool = False
) -> dict[str, Any]:
    """What a crowd of one counted."""
    async with serving(send) as url:
        crowd = Crowd()
        endpoint = Endpoint(url, rules=(Rule(None, b"go"), *rules), ready=b"ready", delimited=delimited)
        await crowd.connect([msgspec.to_builtins(endpoint)])
        await eventually(lambda: crowd.frames >= frames)
        counted = crowd.end()
        crowd.leave()
        return counted


async def test_frames_are_found_whatever_is_around_them(eventually) -> None:
    """Several in a message, behind a header, or as base64 in a text."""

    def send(transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b"ready")
        transport.send(WSMsgType.BINARY, b"head" + payload(1) + b"between" + payload(2))
        transport.send(WSMsgType.TEXT, b'{"audio":"' + base64.b64encode(payload(3)) + b'"}')

    counted = await count(send, 3, eventually)

    assert (counted["frames"], counted["faults"]) == (3, 0)
    assert 0 <= counted["latency_ms"]["p50"] <= counted["latency_ms"]["max"]


async def test_messages_behind_their_lengths(eventually) -> None:
    """A message that is no frame is received and answered, although it shares a message with one."""
    messages = iter([b"\x05ready\x00\x86\x04" + payload(1), b"\x86\x04" + payload(2)])

    def send(transport: WSTransport) -> None:
        transport.send(WSMsgType.BINARY, next(messages))

    counted = await count(send, 2, eventually, Rule(b"", b"pong", exact=True), delimited=True)

    assert (counted["frames"], counted["faults"]) == (2, 0)


async def test_what_is_lost_twice_or_out_of_order_is_a_fault(eventually) -> None:
    """Each break of the order counts."""

    def send(transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b"ready")
        for seq in (1, 2, 4, 5, 5, 6):
            transport.send(WSMsgType.BINARY, payload(seq))

    counted = await count(send, 6, eventually)

    assert counted["faults"] == 2
