"""Scrape: admin ports as they are, and everything that can stand in their place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from relay_cli.top import scrape as module
from relay_cli.top.history import Answer
from relay_cli.top.scrape import scrape
from relay_cli.top.targets import Unresolved, target
from relay_telemetry.admin import Health


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """An application at a free port, by its address."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def answer(address: str) -> Answer:
    async with aiohttp.ClientSession() as http:
        return (await scrape(http, [target(address)]))[address]


def fixed(metrics: web.StreamResponse, readyz: web.StreamResponse) -> web.Application:
    """A server that is no admin port."""

    async def at_metrics(_request: web.Request) -> web.StreamResponse:
        return metrics

    async def at_readyz(_request: web.Request) -> web.StreamResponse:
        return readyz

    app = web.Application()
    app.router.add_get("/metrics", at_metrics)
    app.router.add_get("/readyz", at_readyz)
    return app


async def test_an_admin_port(no_blocking) -> None:
    """Metrics and readiness with its reasons, and how it is degraded."""
    no_blocking.deactivate()  # the metrics of the process are read from /proc
    health = Health()
    async with serving(health.application()) as address:
        ready = await answer(address)
        health.add("redis", lambda: "NOPERM", lambda: "slow")
        unready = await answer(address)

    assert ready.scraped is not None
    assert ready.scraped.total("process_resident_memory_bytes")
    assert (ready.ready, ready.reasons) == (True, {})
    assert (unready.ready, unready.reasons, unready.degraded) == (
        False,
        {"redis": "NOPERM"},
        {"redis": "slow"},
    )


async def test_nothing_listens() -> None:
    """The reason is that of the system."""
    found = await answer("127.0.0.1:1")

    assert (found.scraped, found.away) == (None, "Connection refused")


async def test_a_target_that_does_not_resolve() -> None:
    """Its reason is shown as that of an absent process is."""
    async with aiohttp.ClientSession() as http:
        found = await scrape(http, [Unresolved("gateway:1", "the name does not resolve")])

    assert found["gateway:1"].away == "the name does not resolve"


async def test_other_servers() -> None:
    """Another status, another format, a readiness of another form: none of them breaks a round."""
    metrics = "n_total 1\n"
    for app, away in [
        (fixed(web.Response(status=404), web.Response()), "/metrics returns status 404"),
        (fixed(web.Response(text=""), web.Response()), "the answer has no metrics"),
        (fixed(web.Response(text=metrics), web.Response(text="{")), "Expecting property name"),
    ]:
        async with serving(app) as address:
            found = await answer(address)
        assert found.scraped is None
        assert away in found.away
    for readyz in (web.Response(status=404), web.json_response([1])):
        async with serving(fixed(web.Response(text=metrics), readyz)) as address:
            found = await answer(address)
        assert found.scraped is not None
        assert found.ready is None


async def test_a_connection_that_closes_without_an_answer() -> None:
    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        found = await answer("{}:{}".format(*server.sockets[0].getsockname()[:2]))

    assert found.away == "Server disconnected"


async def test_a_process_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is away once the time is over."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: accepted.append(writer), "127.0.0.1", 0)
    async with server:
        found = await answer("{}:{}".format(*server.sockets[0].getsockname()[:2]))
        for writer in accepted:
            writer.close()

    assert found.away == "no answer within 0 s"
