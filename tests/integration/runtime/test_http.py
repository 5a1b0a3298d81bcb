"""The HTTP shell on real sockets: whatever a handler raises, the client gets it in the protocol it speaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from tests.rigs.metrics import metric

from relay_runtime import http
from relay_runtime.refusal import PROBLEMS
from relay_wire import problems
from relay_wire.close_codes import (
    BAD_MESSAGE,
    CONVERSATION_ENDED,
    INTERNAL_ERROR,
    RATE_LIMITED,
    STORE_UNAVAILABLE,
    TRY_LATER,
    CloseCode,
)
from relay_wire.problems import Problem


class StoreAway(Exception):
    """What a service would have translated."""


TRANSLATIONS: http.Translations = {StoreAway: (problems.STORE_UNAVAILABLE, "away")}

AFTER_THE_UPGRADE: list[tuple[Exception, CloseCode]] = [
    (StoreAway(), STORE_UNAVAILABLE),
    (Problem(problems.CONVERSATION_ENDED, "over"), CONVERSATION_ENDED),
    (Problem(problems.RATE_LIMITED, "too fast"), RATE_LIMITED),
    (Problem(problems.UPLINK_FULL, "full"), TRY_LATER),
    (Problem(problems.MALFORMED_JSON, "no"), BAD_MESSAGE),
    (RecursionError(), BAD_MESSAGE),
    (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), BAD_MESSAGE),
    (web.HTTPBadRequest(), BAD_MESSAGE),
    (ValueError("a defect"), INTERNAL_ERROR),
    (ConnectionResetError("of something else"), INTERNAL_ERROR),
]


@asynccontextmanager
async def serving(handler) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    app = http.application(TRANSLATIONS)
    app.router.add_route("*", "/", handler)
    async with http.listen(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        yield url, session


@pytest.mark.parametrize(("error", "code"), AFTER_THE_UPGRADE)
async def test_an_error_after_the_upgrade_is_a_close_code(
    as_a_service, error: Exception, code: CloseCode
) -> None:
    """Never the bytes of an HTTP response, which clients would parse as broken framing, which is final."""
    as_a_service("json")

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        raise error

    async with serving(handler) as (url, session), session.ws_connect(url) as socket:
        counted = metric(http.SOCKET_ERRORS, code=code.name)
        await socket.send_str("go")
        message = await socket.receive(timeout=5)
        assert (message.type, socket.close_code, message.extra) == (
            aiohttp.WSMsgType.CLOSE,
            code.code,
            code.name,
        )
        assert metric(http.SOCKET_ERRORS, code=code.name) == counted + 1


async def test_an_error_before_the_upgrade_is_a_problem() -> None:
    """Also when the handler has made its socket but has not answered yet."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        web.WebSocketResponse()
        raise StoreAway

    async with serving(handler) as (url, session):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)
        assert refused.value.status == 503
        assert refused.value.headers["Avatar-Relay-Problem"] == "store-unavailable"


async def test_a_sender_that_leaves_is_no_defect(caplog: pytest.LogCaptureFixture, eventually) -> None:
    """In the middle of its body: nothing is logged, and it counts as its own mistake."""
    reading = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        reading.set()
        return web.Response(body=await request.read())

    async with serving(handler) as (url, _session):
        bad, defects = (metric(PROBLEMS, problem=kind) for kind in ("bad-request", "internal"))
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of it")
        await reading.wait()
        writer.transport.abort()
        await eventually(lambda: metric(PROBLEMS, problem="bad-request") == bad + 1)
        assert metric(PROBLEMS, problem="internal") == defects
    assert not caplog.records
