"""Redis over TLS, as a user with few rights."""

import asyncio

import aiohttp
import pytest

from relay_cli.stack import Stack
from relay_client import Backend, Viewer
from relay_redis.client import RedisClient
from relay_redis.errors import Unavailable
from relay_streams.scripts import SCHEMA
from relay_wire import events
from relay_wire.frame import Kind


@pytest.fixture(autouse=True)
def _guards() -> None:
    """A stack is a tool, and may block."""


async def test_a_relay_with_few_rights(tls_redis, tmp_path) -> None:
    """The whole relay, over TLS, as a user that may do what it must: no command is denied."""
    url, ca_file, server = tls_redis
    settings = {
        "RELAY_REDIS_CA_FILE": str(ca_file), "RELAY_REDIS_USERNAME": "relay",
        "RELAY_SECRETS_DIR": str(tmp_path), "RELAY_LOG_LEVEL": "debug",
    }  # fmt: skip
    async with (
        Stack(redis_url=url, gateways=1, workers=1, speed=10, settings=settings) as stack,
        Backend(stack.control.url, stack.api_key) as backend,
    ):
        conversation = (await backend.create()).id
        token = (await backend.token(conversation)).token
        async with Viewer(stack.gateway_urls, conversation, token) as viewer, asyncio.timeout(30):
            await backend.post_turn(conversation, bytes(16000))
            kinds = set()
            async for received in viewer:
                kinds.add(received.kind)
                event = events.decode(received.payload) if received.kind is Kind.EVENT else None
                if isinstance(event, events.TurnEnded):
                    await viewer.interrupt()
                    await viewer.report_playback(received.turn, "finished")
                    await backend.end(conversation)

        assert [await readiness(child.admin) for child in stack.children] == [200] * len(stack.children)

    assert kinds == {Kind.AUDIO, Kind.MOTION, Kind.EVENT}
    denied = await asyncio.to_thread(server.ask, "ACL", "LOG")
    assert denied == []


async def readiness(admin: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{admin}/readyz") as response:
        return response.status


@pytest.mark.parametrize("wrong", ["password", "authority", "plain"])
async def test_a_redis_that_cannot_be_trusted(tls_redis, wrong: str) -> None:
    """And one that does not trust us: no connection, and the error names no password."""
    url, ca_file, _ = tls_redis
    user, host = ("relay:planted-secret-guess@" if wrong == "password" else ""), url.removeprefix("rediss://")
    scheme = "redis" if wrong == "plain" else "rediss"
    option = "" if wrong == "authority" else f"?ssl_ca_certs={ca_file}" * (wrong != "plain")
    async with RedisClient(f"{scheme}://{user}{host}{option}", SCHEMA, name="test", timeout_s=2) as client:
        with pytest.raises(Unavailable) as refused:
            await client.execute("PING")

    assert "planted" not in str(refused.value)
