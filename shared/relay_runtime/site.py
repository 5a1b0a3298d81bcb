"""Sites: TCP ports whose connections must say what they want in time."""

import asyncio
import ssl

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Counter

BACKLOG = 1024
"""Connections the kernel keeps while the process is busy."""

UNFINISHED = Counter(
    "relay_http_unfinished_total", "Connections closed because no whole request came in time."
)


class Site(web.BaseSite):
    """A TCP port.

    Args:
        runner: Makes the connections' handlers.
        host: Where to listen.
        port: 0 takes a free one.
        tls: Encrypts every connection; None: none.
        header_s: How long a connection may take to its first request's end of header, TLS and all. Who sends
            a byte now and then holds nothing for longer.
    """

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, *, tls: ssl.SSLContext | None, header_s: float
    ) -> None:
        super().__init__(runner, ssl_context=tls, backlog=BACKLOG)
        self._host = host
        self._port = port
        self._header_s = header_s
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

    def _accept(self) -> RequestHandler:
        server = self._app_runner.server
        assert server is not None  # noqa: S101  # a site is made after the runner's setup
        handler = server()
        asyncio.get_running_loop().call_later(self._header_s, self._expire, handler)
        return handler

    @staticmethod
    def _expire(handler: RequestHandler) -> None:
        # aiohttp's own limit on idle connections counts from request to request, and is longer.
        if handler.transport is not None and not handler._request_count:  # noqa: SLF001  # it has no public name
            UNFINISHED.inc()
            handler.force_close()
