"""A server between a client and a real Redis that changes single commands and replies, for tests.

    async with Resp(server.url) as redis:
        redis.instead["SCRIPT"] = UNKNOWN    # a refusal, where its reply would be
        client = RedisClient(redis.url, SCHEMA, name="test")
        redis.send(b"+OK\\r\\n")             # a reply without a command, on every connection

It reads the commands one by one, and passes them on to the real server, a script in the place of those that
a test changes: so each reply comes where its command was. Replies are passed on as they come.
"""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import hiredis

UNKNOWN = "redis.error_reply('ERR unknown command')"
NOPERM = "redis.error_reply('NOPERM this user has no permissions to run the command')"


class Resp:
    """One listening port in front of one server. Enter it to open it; leaving closes it.

    Attributes:
        instead: By command, in upper case, the Lua value that it is answered with.
        greeting: What every new connection gets first.
        target: Host and port of the server behind it, for new connections.
        deaf: Clients whose name begins so receive nothing; None: no client.
        commands: The commands that came, in upper case, in order.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname or "", parts.port or 0)
        self.instead: dict[str, str] = {}
        self.greeting = b""
        self.deaf: str | None = None
        self.commands: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The Redis URL of the server behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """Connections that stand."""
        return len(self._writers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, data: bytes, to: str = "") -> int:
        """Send bytes on the connections of clients whose name begins so; how many those are."""
        writers = [writer for writer, name in self._writers.items() if name.startswith(to)]
        for writer in writers:
            writer.write(data)
        return len(writers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            their_reader, their_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            self._tasks.discard(task)
            return
        self._writers[writer] = ""
        writer.write(self.greeting)
        back = asyncio.create_task(self._pass_back(their_reader, writer))
        try:
            await self._pass_on(reader, writer, their_writer)
        except OSError:
            pass
        finally:
            back.cancel()
            del self._writers[writer]
            self._tasks.discard(task)
            writer.close()
            their_writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, theirs: asyncio.StreamWriter
    ) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(2**16):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                name = command[0].decode().upper()
                self.commands.append(name)
                if name == "CLIENT" and command[1].upper() == b"SETNAME":
                    self._writers[writer] = command[2].decode()
                if name in self.instead:
                    command = ("EVAL", f"return {self.instead[name]}", 0)
                theirs.write(hiredis.pack_command(tuple(command)))

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                if self.deaf is None or not self._writers[writer].startswith(self.deaf):
                    writer.write(data)
        except OSError:
            pass
        writer.close()
