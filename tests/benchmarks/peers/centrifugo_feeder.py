"""Publishes traffic through Centrifugo's HTTP API, as an app's backend does: in batches, as frames come."""

import asyncio
import base64
from typing import Any

import aiohttp
import msgspec
from tests.benchmarks.traffic import Pacer
from tests.benchmarks.worker import serve

SENDERS = 4
"""Requests under way at once; all frames of a conversation have the same sender, which keeps their order."""


class Sender:
    """One request at a time, with what has come meanwhile."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._waiting: list[tuple[int, bytes]] = []
        self._sending: asyncio.Task[None] | None = None

    def put(self, conversation: int, payload: bytes) -> None:
        """Publish it soon; raises what went wrong with those before."""
        self._waiting.append((conversation, payload))
        if self._sending is not None and self._sending.done():
            self._sending.result()
            self._sending = None
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def drained(self) -> None:
        """Wait until all is published; raises what went wrong."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._waiting:
            batch = self._take()
            commands = [
                {"publish": {"channel": f"c{conversation}", "b64data": base64.b64encode(payload).decode()}}
                for conversation, payload in batch.items()
            ]
            body = msgspec.json.encode({"parallel": True, "commands": commands})
            async with self._http.post(self._url, data=body) as answer:
                answer.raise_for_status()
                replies = msgspec.json.decode(await answer.read())["replies"]
            if refused := [reply["error"] for reply in replies if "error" in reply]:
                raise RuntimeError(f"Centrifugo refused {len(refused)} frames: {refused[0]}")

    def _take(self) -> dict[int, bytes]:
        """One frame of each conversation at most: commands of a batch are carried out side by side."""
        batch: dict[int, bytes] = {}
        left: list[tuple[int, bytes]] = []
        for conversation, payload in self._waiting:
            if conversation in batch:
                left.append((conversation, payload))
            else:
                batch[conversation] = payload
        self._waiting = left
        return batch


class Feeder:
    """The app's backend."""

    def __init__(self) -> None:
        self._senders: list[Sender] = []
        self.pacer = Pacer(self._publish)

    async def connect(self, url: str) -> None:
        """Publish there from now on."""
        http = aiohttp.ClientSession()
        self._senders = [Sender(http, url) for _ in range(SENDERS)]

    async def end(self) -> dict[str, Any]:
        """Stop, and report what was published, when all of it is acknowledged."""
        report = await self.pacer.stop()
        await asyncio.gather(*(sender.drained() for sender in self._senders))
        return report

    def _publish(self, conversation: int, payload: bytes) -> None:
        self._senders[conversation % SENDERS].put(conversation, payload)


if __name__ == "__main__":
    feeder = Feeder()
    serve({"connect": feeder.connect, "begin": feeder.pacer.begin, "end": feeder.end})
