"""Readiness of whole processes: they name what Redis does not do for them; liveness does not depend on it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.eventually import eventually
from tests.rigs.proxy import Proxy
from tests.rigs.redis_server import Server

from relay_redis.connection import call, settings_of
from relay_redis.endpoint import FixedEndpoint
from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment


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


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server) -> AsyncIterator[Relay]:
    """One relay, which each test leaves ready."""
    async with open_relay(redis_server.url, gateways=1, workers=1, speed=2.0) as opened:
        yield opened


@pytest.mark.xdist_group("e2e_readiness")
@pytest.mark.parametrize("rule", ["-evalsha", "-xadd", "resetkeys", "-ssubscribe"])
async def test_a_permission_that_is_missing(r: Relay, redis_server, rule: str) -> None:
    """Every process that needs it names it, answers 503, and stays alive."""
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


@pytest.mark.xdist_group("e2e_readiness")
async def test_scripts_that_are_lost(r: Relay, redis_server, speech, watching, eventually) -> None:
    """SCRIPT FLUSH in mid-talk: the turn is whole, the owner is the same, and everybody stays ready."""
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


SERVICES = ["gateway", "control", "ingest", "jobs dispatcher", "jobs worker", "jobs beat"]


@asynccontextmanager
async def started(service: str, redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with all settings it needs; not waited for."""
    environment = {
        "RELAY_REDIS_URL": redis_url, "RELAY_REDIS_TIMEOUT_S": "0.5", "RELAY_TOKEN_SECRET": "k" * 40,
        "RELAY_API_KEYS": f"0123abcd:{'0' * 64}:admin", "SPATIUS_API_KEY": "key", "SPATIUS_APP_ID": "app",
        "RELAY_GATEWAY_PORT": "0", "RELAY_CONTROL_PORT": "0", "RELAY_LOG_FORMAT": "json",
        "RELAY_DRAIN_S": "0.2", "RELAY_DRAIN_ACCEPT_S": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *f"relay_{service}".split(), stdout=PIPE, stderr=PIPE,
        env=child_environment(environment), preexec_fn=end_with_parent,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def logged(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The first line of its log with this event."""
    while True:
        line: dict[str, Any] = json.loads(await process.stderr.readline())
        if line["event"] == event:
            return line


@pytest.mark.parametrize("service", SERVICES)
async def test_a_redis_that_was_never_reached(redis_server, service: str) -> None:
    """The log names the setting; the process is ready once Redis is there."""
    async with Proxy("127.0.0.1", redis_server.port) as proxy:
        await proxy.set_mode("refuse")
        async with started(service, proxy.url) as process:
            line = await logged(process, "redis not reached")
            assert (line["level"], line["setting"]) == ("warning", "RELAY_REDIS_URL")
            await proxy.set_mode("pass")
            assert json.loads(await process.stdout.readline())["ready"] == service.replace(" ", "-")


@pytest.mark.parametrize("service", SERVICES)
async def test_sigterm_before_redis_was_reached(redis_server, service: str) -> None:
    """The process ends cleanly, and was never ready."""
    async with Proxy("127.0.0.1", redis_server.port) as proxy:
        await proxy.set_mode("refuse")
        async with started(service, proxy.url) as process:
            await logged(process, "redis not reached")
            process.terminate()
            output, _ = await process.communicate()

    assert (process.returncode, output) == (0, b"")
