"""Probes: a balancer's health requests on the port for viewers."""

import asyncio
from typing import Any

import pytest
from tests.rigs.gateway import GatewayRig

NOT_READY = {"ok": False, "missing": ["a server that is ready: try again"]}
"""With a word in the list: clients show it."""


def http(rig: GatewayRig, path: str) -> str:
    return rig.url.replace("ws", "http", 1) + path


@pytest.mark.parametrize("settings", [{}, {"avatarkit_clients": True, "avatar_id": "ava"}])
async def test_a_gateway_that_takes_viewers(open_rig, eventually, settings: dict[str, Any]) -> None:
    """200, with the fields that the vendor's clients read, whether they are served or not."""
    async with open_rig(**settings) as rig:
        await eventually(lambda: not rig.service.readiness())
        async with rig.http.get(http(rig, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "missing": []})
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with rig.http.head(http(rig, "/healthz")) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_a_gateway_that_drains(open_rig) -> None:
    """503 from the first moment on, so that no viewer is routed here."""
    async with open_rig(drain_s=5) as rig, rig.viewer() as viewer:
        draining = asyncio.create_task(rig.service.drain())
        await viewer.frames().__anext__()
        await asyncio.sleep(0)
        async with rig.http.get(http(rig, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (503, NOT_READY)
        draining.cancel()


async def test_a_gateway_without_redis(proxied, eventually) -> None:
    """503 without a reason: anybody can request it."""
    async with proxied() as (rig, proxy):
        await eventually(lambda: not rig.service.readiness())  # nor is it before the first heartbeat
        await proxy.set_mode("refuse")
        await eventually(rig.service.readiness)
        async with rig.http.get(http(rig, "/healthz")) as answer:
            assert (answer.status, await answer.json()) == (503, NOT_READY)


async def test_probes_stand_before_all_limits(open_rig, eventually) -> None:
    """A balancer that is refused would consider the gateway dead; other requests are refused as before."""
    async with open_rig(requests_per_s=0.001, requests_burst=1, max_viewers=1) as rig, await rig.connect():
        await eventually(lambda: not rig.service.readiness())
        for _ in range(20):
            async with rig.http.get(http(rig, "/healthz")) as answer:
                assert answer.status == 200
        assert await rig.refused() == (429, "rate-limited")


async def test_the_root_points_to_the_documentation(open_rig) -> None:
    """It is the path that people open first: cached, and without a version anywhere."""
    async with open_rig() as rig, rig.http.get(http(rig, "/")) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "viewers": "/v1/conversations/{id}/stream",
            "health": "/healthz",
            "documentation": "docs/reference/viewer-protocol.md",
        }
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert answer.headers["Server"] == "avatar-relay"
