"""A server as the vendor's demos have it: FastAPI, one process, JSON texts with base64 (facts 5.2).

What Motion Server would send comes over one local connection instead of the SDK's; from there on it is the
demos' way: a queue for each turn, a lock for each socket, ``send_text``. No auth, no resume, no limits.
"""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

FEED_HEAD = struct.Struct(">II")
"""Conversation, and size of the payload that follows."""
_QUEUE = 256
"""The demos' ``asyncio.Queue(maxsize=256)``."""


class Session:
    """One client of one conversation."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._lock = asyncio.Lock()

    async def send(self, message: dict[str, object]) -> None:
        """One JSON text."""
        async with self._lock:
            await self.websocket.send_text(json.dumps(message))

    async def forward(self) -> None:
        """What the SDK's callback put into the queue, on to the client."""
        while True:
            payload = await self.queue.get()
            frames = [base64.b64encode(payload).decode()]
            await self.send({"type": "avatar_frames", "frames": frames, "isLast": False})


sessions: dict[int, list[Session]] = {}
listening = socket.create_server(("127.0.0.1", 0), backlog=1024)


async def feed(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """What comes from the vendor, to the sessions it is for."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            conversation, size_bytes = FEED_HEAD.unpack(await reader.readexactly(FEED_HEAD.size))
            payload = await reader.readexactly(size_bytes)
            for session in sessions.get(conversation, ()):
                with suppress(asyncio.QueueFull):  # as there: silently lost
                    session.queue.put_nowait(payload)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The vendor's side is open as long as the server is."""
    server = await asyncio.start_server(feed, "127.0.0.1", 0)
    ports = {"viewers": listening.getsockname()[1], "feed": server.sockets[0].getsockname()[1]}
    print(json.dumps({"ok": ports}), flush=True)  # noqa: T201  # to who started us
    async with server:
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/agent")
async def agent(websocket: WebSocket, conversation: int) -> None:
    """A client, until it leaves."""
    await websocket.accept()
    session = Session(websocket)
    sessions.setdefault(conversation, []).append(session)
    forwarding = asyncio.create_task(session.forward())
    try:
        await session.send({"type": "ready"})
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        forwarding.cancel()
        sessions[conversation].remove(session)


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="auto"))
    server.run(sockets=[listening])
