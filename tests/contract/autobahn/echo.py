"""An echo behind the gateway's own acceptor: its handshake, its reader, its writer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

from relay_gateway.app import gateway
from relay_gateway.inbound import InboundMessages
from relay_gateway.socket import Socket
from relay_gateway.websocket import BINARY, TEXT, joined
from relay_runtime.http import listen
from relay_settings.gateway import GatewaySettings

LARGEST_CASE_BYTES = 2**20


@asynccontextmanager
async def echo(redis_url: str) -> AsyncIterator[str]:
    """The address of a gateway that echoes every message, while the block runs."""
    settings = GatewaySettings.load(
        RELAY_TOKEN_SECRET="k" * 40, redis_url=redis_url, gateway_max_message_bytes=LARGEST_CASE_BYTES,
        drain_s=0, messages_per_s=100_000, message_bytes_per_s=2**30, requests_per_s=1000,
    )  # fmt: skip
    async with gateway(settings) as service:

        async def respond(socket: Socket, messages: InboundMessages) -> None:
            while (message := await messages.receive()) is not None:
                if message.type is WSMsgType.TEXT:
                    socket.write(joined(TEXT, [message.data.encode()]))
                elif message.type is WSMsgType.BINARY:
                    socket.write(joined(BINARY, [message.data]))

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await service.acceptor.accept(request, respond)

        app = service.application()
        app.middlewares.append(answer)  # in place of every route
        async with listen(app, "127.0.0.1", 0) as url:
            yield urlsplit(url).netloc
