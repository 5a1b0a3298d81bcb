"""Socket.IO with its Redis Streams adapter: a room per conversation, a server node and an emitting node."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.load import Endpoint, Rule
from tests.benchmarks.peers.parts import Missing, fetch, home_of
from tests.benchmarks.target import Target
from tests.benchmarks.worker import Worker

from relay_redis.local_server import LocalServer

_SOURCES = Path(__file__).parent / "socketio"
_INSTALL_S = 120.0


class SocketIo(Target):
    """One server node on a Redis of its own."""

    name = "socketio"

    async def start(self) -> None:
        node, home = need_node(), await install()
        redis = self.stack.enter_context(LocalServer())
        assert redis.process is not None
        self._server = Worker("socketio server", [node, str(home / "server.mjs"), redis.url])
        await self.stack.enter_async_context(self._server)
        self._port = await self._server.answer("start")
        self.publisher = Worker("socketio emitter", [node, str(home / "emitter.mjs"), redis.url])
        await self.stack.enter_async_context(self.publisher)
        self.pids = {
            "server": [self._server.pid],
            "redis": [redis.process.pid],
            "publisher": [self.publisher.pid],
        }

    def endpoints(self) -> Sequence[Endpoint]:
        url = f"ws://127.0.0.1:{self._port}/socket.io/?EIO=4&transport=websocket"
        return [
            Endpoint(url, number, {}, _join(number), b"430")
            for number in range(self.conversations)
            for _ in range(self.viewers)
        ]


def _join(number: int) -> tuple[Rule, ...]:
    """Engine.IO: ``0`` open, ``2`` ping, ``3`` pong; Socket.IO: ``40`` connect, ``42`` event, ``43`` ack."""
    return (
        Rule(b"0", b"40"),
        Rule(b"40", b'420["join","c%d"]' % number),
        Rule(b"2", b"3", exact=True),
    )


def need_node() -> str:
    """Node's path.

    Raises:
        Missing: It is not installed, or its npm is not.
    """
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        raise Missing("Socket.IO needs Node 18 or later with npm: apt-get install nodejs npm")
    return node


async def install() -> Path:
    """Put the packages into the cache, unless they are there; returns the folder to run in.

    Raises:
        Missing: npm could not.
    """
    home = home_of("socketio", _SOURCES.iterdir())
    wanted = json.loads((_SOURCES / "package.json").read_text())["dependencies"]
    if any(_installed(home, name) != version for name, version in wanted.items()):
        npm = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock")
        await fetch(*npm, home=home, timeout_s=_INSTALL_S)
    return home


def _installed(home: Path, name: str) -> str:
    package = home / "node_modules" / name / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else ""
