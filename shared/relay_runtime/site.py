"""Sites: TCP ports whose connections must say what they want in time."""

import asyncio
import ssl
from collections.abc import Callable

from aiohttp import web

from relay_runtime.connection import Connection
from relay_runtime.open_files import Room

BACKLOG = 1024
"""Connections the kernel keeps while the process is busy."""


class Site(web.BaseSite):
    """A TCP port.

    Args:
        runner: Makes the connections' handlers.
        host: Where to listen.
        port: 0 takes a free one.
        tls: Encrypts every connection; None: none.
        header_s: As ``Connection``.
        keepalive_s: How long it may then wait between requests, the next one's header included.
        room: For its connections.
        leaving: As ``Connection``.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        header_s: float,
        keepalive_s: float,
        room: Room,
        leaving: Callable[[], bool],
    ) -> None:
        super().__init__(runner, ssl_context=tls, backlog=BACKLOG)
        self._host = host
        self._port = port
        self._header_s = header_s
        self._keepalive_s = keepalive_s
        self._room = room
        self._leaving = leaving
        self._app_runner = runner

    @property
    def name(self) -> str:
        """Where it listens, for people."""
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._header_s if self._ssl_context else None,
            backlog=self._backlog,
        )

    def _accept(self) -> Connection:
        server = self._app_runner.server
        assert server is not None  # noqa: S101  # a site is made after the runner's setup
        return Connection(
            server,
            header_s=self._header_s,
            room=self._room,
            leaving=self._leaving,
            keepalive_timeout=self._keepalive_s,
        )
