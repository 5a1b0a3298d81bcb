"""Readiness of whole processes: they name what Redis does not do for them; liveness does not depend on it."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
import pytest
from tests.rigs.eventually import eventually

from relay_redis.connection import call, settings_of
from relay_redis.endpoint import FixedEndpoint


async def execute(url: str, *command: str) -> Any:
    """As another client, which the faults of the test do not affect."""
    connection = await FixedEndpoint(settings_of(url)).open(name="operator", timeout_s=5)
    try:
        return await call(connection, *command, timeout_s=5)
    finally:
        await connection.disconnect(nowait=True)


async def readiness(http: aiohttp.ClientSession, admin: str) -> tuple[int, dict[str, Any]]:
    async with http.get(f"{admin}/livez") as response:
        assert response.status == 200
    async with http.get(f"{admin}/readyz") as response:
        return response.status, await response.json()


@pytest.mark.parametrize("rule", ["-evalsha", "-xadd", "resetkeys", "-ssubscribe"])
async def test_a_permission_that_is_missing(relay, redis_server, rule: str) -> None:
    """Every process that needs it names it, answers 503, and stays alive."""
    async with relay(gateways=1, workers=1) as r:
        gateway, worker, control = r.stack.gateways[0], r.stack.workers[0], r.stack.control
        services = [gateway, worker] if rule == "-ssubscribe" else [gateway, worker, control]
        await execute(redis_server.url, "ACL", "SETUSER", "default", rule)
        try:
            for child in services:
                _, body = await eventually(
                    partial(readiness, r.http, child.admin), until=lambda answer: answer[0] != 200
                )
                assert "NOPERM" in body["reasons"]["redis"]
            async with r.http.post(
                f"{control.url}/v1/conversations",
                headers={"Authorization": f"Bearer {r.stack.api_key}"},
                json={"avatar_id": "a"},
            ) as created:
                assert created.status == (201 if rule == "-ssubscribe" else 503)
        finally:
            await execute(redis_server.url, "ACL", "SETUSER", "default", "+@all", "~*", "&*")
        for child in (gateway, worker, control):
            await eventually(partial(readiness, r.http, child.admin), until=lambda answer: answer[0] == 200)


async def test_scripts_that_are_lost(relay, redis_server, speech, watching, eventually) -> None:
    """SCRIPT FLUSH in mid-talk: the turn is whole, the owner is the same, and everybody stays ready."""
    async with relay(gateways=1, workers=1, speed=2.0) as r:
        conversation = await r.converse()
        seen = await r.watch(conversation)
        async with watching(seen):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: seen.frames)
            for _ in range(5):
                await execute(redis_server.url, "SCRIPT", "FLUSH")
                await asyncio.sleep(0.05)
                for child in (r.stack.gateways[0], r.stack.workers[0], r.stack.control):
                    assert (await readiness(r.http, child.admin))[0] == 200
            await eventually(lambda: seen.outcomes)
            await r.backend.end(conversation)

        seen.assert_whole()
        assert seen.audio() == speech
        assert seen.outcomes == {1: "complete"}
        assert await r.metric(r.stack.workers, "relay_publish_lost_total") == 0
