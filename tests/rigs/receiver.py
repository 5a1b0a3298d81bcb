"""A receiver of webhooks: a real HTTP server that answers as told and records what it has received."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from relay_runtime.http import listen

SECRET_KEY = bytes(range(100, 132))
SECRET = "whsec_" + base64.b64encode(SECRET_KEY).decode()

Answer = Callable[[web.Request, "Received"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request."""

    id: str
    attempt: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """A running receiver."""

    url: str = ""
    answer: Answer | None = None
    """How the next requests are answered; None: with 204."""
    received: list[Received] = field(default_factory=list)
    """Every request whose signature is right, whatever its answer."""
    forged: int = 0
    """Requests with a wrong signature."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Receive one request."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not is_signed(headers, body, SECRET_KEY):
            self.forged += 1
            return web.Response(status=401)
        got = Received(headers["webhook-id"], int(headers.get("relay-attempt", "0")), headers, body)
        self.received.append(got)
        return web.Response(status=204) if self.answer is None else await self.answer(request, got)


@asynccontextmanager
async def receiving(answer: Answer | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free loopback port."""
    receiver = Receiver(answer=answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    async with listen(app, "127.0.0.1", 0) as url:
        receiver.url = url
        yield receiver


def answers(status: int, **options: Any) -> Answer:
    """Always this status."""

    async def answer(_request: web.Request, _received: Received) -> web.StreamResponse:
        return web.Response(status=status, **options)

    return answer


def is_signed(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """Whether a request has a signature of this key, as the public text of Standard Webhooks defines it."""
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    wanted = "v1," + base64.standard_b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    return any(hmac.compare_digest(wanted, one) for one in headers["webhook-signature"].split(" "))
