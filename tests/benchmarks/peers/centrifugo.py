"""Centrifugo with its Redis engine: a channel per conversation, a node for viewers, a node for the API."""

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from tests.benchmarks.load import Endpoint, Rule
from tests.benchmarks.peers.parts import Missing, fetch, home_of
from tests.benchmarks.target import Target
from tests.benchmarks.worker import Worker, WorkerError
from tests.rigs.redis_process import free_port

from relay_redis.local_server import LocalServer

_SOURCES = Path(__file__).parent / "centrifugo"
_MODULE = "github.com/centrifugal/centrifugo/v5"
_BUILD_S = 600.0
_START_S = 10.0
_SETTINGS = {
    "ENGINE": "redis",
    "HISTORY_SIZE": "200",  # as many frames as the relay keeps here: two turns of 100
    "HISTORY_TTL": "300s",
    "FORCE_RECOVERY": "true",
    "CLIENT_INSECURE": "true",
    "API_INSECURE": "true",
    "HEALTH": "true",
    "LOG_LEVEL": "error",
    "USAGE_STATS_DISABLE": "true",
}
"""Clients do not authenticate here, which favours it; all else is its default."""


class Centrifugo(Target):
    """One node with the viewers, on a Redis of its own; frames come from a second node through Redis."""

    name = "centrifugo"

    async def start(self) -> None:
        program = await build()
        redis = self.stack.enter_context(LocalServer())
        assert redis.process is not None
        server, self._port = await self._start_node(program, redis.url)
        api, api_port = await self._start_node(program, redis.url)
        self.publisher = Worker.module("peers.centrifugo_feeder")
        await self.stack.enter_async_context(self.publisher)
        await self.publisher.ask("connect", url=f"http://127.0.0.1:{api_port}/api/batch")
        self.pids = {
            "server": [server.pid],
            "redis": [redis.process.pid],
            "publisher": [self.publisher.pid, api.pid],
        }

    def endpoints(self) -> Sequence[Endpoint]:
        url = f"ws://127.0.0.1:{self._port}/connection/websocket?cf_protocol=protobuf"
        return [
            Endpoint(url, number, {}, _join(number), _SUBSCRIBED, delimited=True)
            for number in range(self.conversations)
            for _ in range(self.viewers)
        ]

    async def _start_node(self, program: Path, redis_url: str) -> tuple[Worker, int]:
        port = free_port()
        settings = {**_SETTINGS, "REDIS_ADDRESS": redis_url, "ADDRESS": "127.0.0.1", "PORT": str(port)}
        environment = {f"CENTRIFUGO_{name}": value for name, value in settings.items()}
        node = Worker("centrifugo", [str(program)], environment=_inherited() | environment)
        await self.stack.enter_async_context(node)
        await _answers(f"http://127.0.0.1:{port}/health")
        return node, port


_CONNECTED, _SUBSCRIBED = b"\x08\x01", b"\x08\x02"
"""How a reply begins: the id of its command."""


def _join(number: int) -> tuple[Rule, ...]:
    """Commands of its Protobuf protocol: field 1 their id, 4 connect, 5 subscribe; an empty one is a ping."""
    channel = b"c%d" % number
    subscribe = _SUBSCRIBED + b"\x2a" + _delimit(b"\x0a" + _delimit(channel))
    return (
        Rule(None, _delimit(_CONNECTED + b"\x22\x00"), text=False),
        Rule(_CONNECTED, _delimit(subscribe), text=False),
        Rule(b"", _delimit(b""), text=False, exact=True),
    )


def _delimit(message: bytes) -> bytes:
    return bytes([len(message)]) + message


def _inherited() -> dict[str, str]:
    """Our environment without settings that someone has made for a Centrifugo of theirs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CENTRIFUGO_")}


async def _answers(url: str) -> None:
    """Wait until a node does."""
    deadline = time.monotonic() + _START_S
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            try:
                async with http.get(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
    raise WorkerError(f"centrifugo did not start within {_START_S:.0f} s; its words are above")


async def build() -> Path:
    """Build it into the cache, unless it is there; the first time takes minutes. Returns the program.

    Raises:
        Missing: Go is not installed, or could not.
    """
    go = shutil.which("go")
    if not go:
        raise Missing("Centrifugo needs Go 1.23 or later: apt-get install golang-go, where it is new enough")
    wanted = (_SOURCES / "go.mod").read_text()
    home = home_of("centrifugo")
    program, built = home / "centrifugo", home / "built"
    if not program.exists() or not built.exists() or built.read_text() != wanted:
        home_of("centrifugo", _SOURCES.iterdir())
        await fetch(go, "build", "-mod=readonly", "-o", str(program), _MODULE, home=home, timeout_s=_BUILD_S)
        built.write_text(wanted)
    return program
