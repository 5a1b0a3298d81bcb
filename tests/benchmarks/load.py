"""The load client: thousands of viewers in one process, over any server that speaks WebSocket.

It finds the frames in what comes by their stamp, so it need not know how a server wraps them. What a
server wants said is a dialect: answers to messages that begin with certain bytes. Its CPU does not count.
"""

import asyncio
import base64
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from tests.benchmarks.traffic import MAGIC, STAMP, UNSTAMPED
from tests.benchmarks.worker import serve

CONNECTING = 50
"""Handshakes under way at once."""
READY_S = 30.0
_MAGIC_TEXT = base64.b64encode(MAGIC)
_STAMP_TEXT_BYTES = STAMP.size * 4 // 3


class Rule(msgspec.Struct, frozen=True):
    """What a viewer sends when a message begins so; bytes travel as base64."""

    on: bytes | None
    """None stands for the opening of the connection."""
    answer: bytes
    text: bool = True
    exact: bool = False
    """The message must be this and nothing more."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where one viewer connects, and what it sends and expects."""

    url: str
    conversation: int = 0
    headers: dict[str, str] = {}
    rules: tuple[Rule, ...] = ()
    ready: bytes = b""
    """What the message begins with after which frames may come."""
    delimited: bool = False
    """Whether each binary message holds several, each behind its length as a varint (Protobuf's way)."""


class Crowd:
    """All viewers of this process, and what came while it counted."""

    def __init__(self) -> None:
        self.viewers: list[Viewer] = []
        self.frames = self.bytes = self.faults = self.closed = 0
        self.latencies_ns = array("q")
        self.last_ns: dict[tuple[int, int], int] = {}
        """By conversation and frame: how late its last viewer got it; when conversations have several."""
        self.shared = False

    async def connect(self, endpoints: list[Any]) -> int:
        """Open viewers, and wait until each is ready. Returns how many there are now."""
        todo = msgspec.convert(endpoints, list[Endpoint])
        gate = asyncio.Semaphore(CONNECTING)
        self.shared = len({endpoint.conversation for endpoint in todo}) < len(todo)
        begin = len(self.viewers)

        async def open_one(endpoint: Endpoint) -> None:
            async with gate:
                viewer = Viewer(self, endpoint)
                await _open(viewer, endpoint)
                self.viewers.append(viewer)
                async with asyncio.timeout(READY_S):
                    await viewer.ready

        async with asyncio.TaskGroup() as tasks:
            for endpoint in todo:
                tasks.create_task(open_one(endpoint))
        return len(self.viewers) - begin

    async def storm(
        self, endpoints: list[Any], spread_s: float, frames: int, timeout_s: float
    ) -> dict[str, Any]:
        """Open viewers evenly over a while; each is whole when it has this number of frames.

        Returns:
            How many got whole, when the last did, and how long each took from the start of its handshake.
        """
        self.begin()
        todo = msgspec.convert(endpoints, list[Endpoint])
        took_ns: list[int] = []
        begin = time.monotonic()

        async def come(number: int, endpoint: Endpoint) -> None:
            await asyncio.sleep(max(0.0, begin + number / len(todo) * spread_s - time.monotonic()))
            viewer = Viewer(self, endpoint, frames)
            start = time.monotonic_ns()
            await _open(viewer, endpoint)
            self.viewers.append(viewer)
            await viewer.whole
            took_ns.append(time.monotonic_ns() - start)

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(come(*one) for one in enumerate(todo)), return_exceptions=True)
        return {
            "whole": len(took_ns),
            "all_whole_s": round(time.monotonic() - begin, 2),
            "viewer_ms": percentiles(took_ns),
            "frames": self.frames,
            "faults": self.faults,
        }

    def begin(self) -> None:
        """Count from now on."""
        self.frames = self.bytes = self.faults = self.closed = 0
        self.latencies_ns = array("q")
        self.last_ns = {}

    def end(self) -> dict[str, Any]:
        """What came since ``begin``: frames, faults (lost, twice or out of order), latencies."""
        return {
            "frames": self.frames,
            "bytes": self.bytes,
            "faults": self.faults,
            "closed": self.closed,
            "latency_ms": percentiles(self.latencies_ns),
            "last_viewer_ms": percentiles(self.last_ns.values()) if self.shared else None,
        }

    def leave(self) -> None:
        """Drop every connection without a word."""
        viewers, self.viewers = self.viewers, []
        for viewer in viewers:
            viewer.leave()


class Viewer(WSListener):
    """One connection."""

    def __init__(self, crowd: Crowd, endpoint: Endpoint, frames: int = 0) -> None:
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when this number of frames has arrived."""
        self._wanted = frames
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._crowd = crowd
        self._rules = list(endpoint.rules)
        self._ready_on = endpoint.ready
        self._delimited = endpoint.delimited
        self._conversation = endpoint.conversation
        self._seq = 0
        self._leaving = False
        self._transport: WSTransport

    def leave(self) -> None:
        """Drop the connection."""
        self._leaving = True
        self._transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._answer(None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        now = time.monotonic_ns()
        data = frame.get_payload_as_bytes()
        self._crowd.bytes += len(data)
        text = frame.msg_type is WSMsgType.TEXT
        for message in _messages(data) if self._delimited else (data,):
            self._message(now, message, text=text)

    def _message(self, now: int, data: bytes, *, text: bool) -> None:
        magic = _MAGIC_TEXT if text else MAGIC
        at = data.find(magic)
        if at < 0:
            self._control(data)
        while at >= 0:
            stamp = (
                base64.b64decode(data[at : at + _STAMP_TEXT_BYTES]) if text else data[at : at + STAMP.size]
            )
            self._frame(now, stamp)
            at = data.find(magic, at + STAMP.size)

    def on_ws_disconnected(self, _: WSTransport) -> None:
        if not self._leaving:
            self._crowd.closed += 1
        for future in (self.ready, self.whole):
            if not future.done():
                future.set_exception(ConnectionError("closed before that"))
                future.exception()  # nobody may be waiting for it

    def _frame(self, now: int, stamp: bytes) -> None:
        crowd = self._crowd
        _, published, seq = STAMP.unpack(stamp)
        crowd.frames += 1
        if seq == UNSTAMPED:
            return
        crowd.latencies_ns.append(now - published)
        if seq != self._seq + 1 and self._seq:
            crowd.faults += 1
        self._seq = seq
        self._wanted -= 1
        if self._wanted == 0:
            self.whole.set_result(None)
        if crowd.shared:
            key = (self._conversation, seq)
            crowd.last_ns[key] = max(crowd.last_ns.get(key, 0), now - published)

    def _control(self, data: bytes) -> None:
        if not self.ready.done() and data.startswith(self._ready_on):
            self.ready.set_result(None)
        else:
            self._answer(data)

    def _answer(self, data: bytes | None) -> None:
        for rule in self._rules:
            if rule.on == data or (not rule.exact and rule.on and data and data.startswith(rule.on)):
                self._transport.send(WSMsgType.TEXT if rule.text else WSMsgType.BINARY, rule.answer)
                return


def _messages(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # the bit that is set when more follow
                break
        yield data[at : at + size]
        at += size


async def _open(viewer: Viewer, endpoint: Endpoint) -> None:
    await ws_connect(
        lambda: viewer, endpoint.url, extra_headers=endpoint.headers, websocket_handshake_timeout=READY_S
    )


def percentiles(latencies_ns: Sequence[int] | Any) -> dict[str, float]:
    """Median, p99 and maximum in milliseconds; empty without any."""
    ordered = sorted(latencies_ns)
    if not ordered:
        return {}
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3)
        for name, share in shares.items()
    }


if __name__ == "__main__":
    crowd = Crowd()
    serve(
        {
            "connect": crowd.connect,
            "storm": crowd.storm,
            "begin": crowd.begin,
            "end": crowd.end,
            "leave": crowd.leave,
        }
    )
