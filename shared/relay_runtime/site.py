"""Sites: TCP ports with a deadline for the first request of a connection."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from relay_runtime.connection import Connection, HeaderDeadlines
from relay_runtime.open_files import ConnectionLimit
from relay_settings.host import in_url, is_ipv6, is_wildcard

BACKLOG = 1024
"""Connections the kernel keeps while the process is busy."""


class Site(web.BaseSite):
    """A TCP port.

    Args:
        runner: Creates the handlers of connections.
        host: Where to listen; ``::`` is every address of both families.
        port: 0 is any free port.
        tls: Encrypts every connection; None: none.
        header_s: As ``HeaderDeadlines``.
        keepalive_s: The longest time between requests, the next one's header included.
        connection_limit: Limits its connections.
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
        connection_limit: ConnectionLimit,
        leaving: Callable[[], bool],
    ) -> None:
        super().__init__(runner, ssl_context=tls, backlog=BACKLOG)
        self._host = host
        self._port = port
        self._header_s = header_s
        self._deadlines = HeaderDeadlines(header_s)
        self._keepalive_s = keepalive_s
        self._limit = connection_limit
        self._leaving = leaving
        self._app_runner = runner

    @property
    def name(self) -> str:
        """The URL it listens at, for messages."""
        return f"{'https' if self._ssl_context else 'http'}://{in_url(self._host)}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """
        await super().start()
        place: dict[str, Any] = {"host": self._host, "port": self._port}
        if is_wildcard(self._host) and is_ipv6(self._host):
            # The loop itself would create a socket for IPv6 only.
            place = {
                "sock": socket.create_server(
                    (self._host, self._port),
                    family=socket.AF_INET6,
                    dualstack_ipv6=socket.has_dualstack_ipv6(),
                )
            }
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            **place,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._header_s if self._ssl_context else None,
            backlog=self._backlog,
        )

    def _accept(self) -> Connection:
        server = self._app_runner.server
        assert server is not None  # noqa: S101  # a site is made after the runner's setup
        return Connection(
            server,
            deadlines=self._deadlines,
            connection_limit=self._limit,
            leaving=self._leaving,
            keepalive_timeout=self._keepalive_s,
        )
