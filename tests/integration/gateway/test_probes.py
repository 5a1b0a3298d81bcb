"""Probes: a balancer's health requests on the port for viewers."""

import asyncio
from typing import Any

import pytest
from tests.rigs.gateway import GatewayRig


def http(b: GatewayRig, path: str) -> str:
    return b.url.replace("ws", "http", 1) + path


@pytest.mark.parametrize("settings", [{}, {"avatarkit_clients": True, "avatar_id": "ava"}])
async def test_a_gateway_that_takes_viewers(bench, eventually, settings: dict[str, Any]) -> None:
    """200, with the fields that the vendor's clients read, whether they are served or not."""
    async with bench(**settings) as b:
        await eventually(lambda: not b.service.readiness())
        async with b.http.get(http(b, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "missing": []})
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with b.http.head(http(b, "/healthz")) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_a_gateway_that_drains(bench) -> None:
    """503 from the first moment on, so that no viewer is routed here."""
    async with bench(drain_s=5) as b, b.viewer() as viewer:
        draining = asyncio.create_task(b.service.drain())
        await viewer.frames().__anext__()
        await asyncio.sleep(0)
        async with b.http.get(http(b, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (503, {"ok": False, "missing": []})
        draining.cancel()


async def test_a_gateway_without_redis(proxied, eventually) -> None:
    """503 without a reason: anybody can request it."""
    async with proxied() as (b, proxy):
        await eventually(lambda: not b.service.readiness())  # nor is it before the first heartbeat
        await proxy.set_mode("refuse")
        await eventually(b.service.readiness)
        async with b.http.get(http(b, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (503, {"ok": False, "missing": []})


async def test_probes_stand_before_all_limits(bench, eventually) -> None:
    """A balancer that is refused would consider the gateway dead; other requests are refused as before."""
    async with bench(requests_per_s=0.001, requests_burst=1, max_viewers=1) as b, await b.connect():
        await eventually(lambda: not b.service.readiness())
        for _ in range(20):
            async with b.http.get(http(b, "/healthz")) as answer:
                assert answer.status == 200
        assert await b.refused() == (429, "rate-limited")


async def test_the_root_points_the_way(bench) -> None:
    """404 with the paths in its detail: it is the path that people try first."""
    async with bench() as b, b.http.get(http(b, "/")) as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert answer.status == 404
        assert "/v1/conversations/{id}/stream" in problem["detail"]
        assert "/healthz" in problem["detail"]
