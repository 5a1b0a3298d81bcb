"""Redis's passwords change while processes run: each connection reads them again."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from tests.rigs.need import need
from tests.rigs.redis_process import Process, workshop
from tests.rigs.redis_topologies import cluster_topology, sentinel_topology

from relay_redis.client import RedisClient
from relay_redis.errors import Unavailable
from relay_redis.local_server import distribution_binary
from relay_redis.pubsub import PubSub
from relay_settings.redis_url import Credentials
from relay_settings.store import StoreSettings
from relay_streams.scripts import SCHEMA

OLD, NEW = "planted-secret-old", "planted-secret-new"
STREAM = "relay:{p00}:c:x:down"


class Redis:
    """A topology whose clients must authenticate, and whose password changes."""

    def __init__(self, url: str, servers: list[Process]) -> None:
        self.url = url
        self.servers = servers

    async def rotate(self) -> None:
        """Take the old password away and break every connection that used it."""
        for server in self.servers:
            await server.execute("ACL", "SETUSER", "relay", f">{NEW}", f"<{OLD}")
            await server.execute("CLIENT", "KILL", "USER", "relay")


@pytest.fixture(scope="module", params=["node", "sentinel", "cluster"])
def topology(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[Process]]]:
    need(distribution_binary(), "redis-server")
    with ExitStack() as stack:
        if request.param == "node":
            server = stack.enter_context(workshop(distribution_binary()))("primary", "--save", "")
            yield server.url, [server]
        elif request.param == "sentinel":
            sentinels = stack.enter_context(sentinel_topology())
            yield sentinels.url, sentinels.data
        else:
            cluster = stack.enter_context(cluster_topology())
            yield cluster.url, cluster.processes


@pytest.fixture
def redis(topology: tuple[str, list[Process]]) -> Redis:
    url, servers = topology
    for server in servers:
        server.ask("ACL", "SETUSER", "relay", "reset", "on", f">{OLD}", "~*", "&*", "+@all")
    return Redis(url, servers)


async def use_it(url: str, change: Callable[[], None], redis: Redis) -> None:
    """Clients and subscriptions work, lose their password and every connection, and work again."""
    moved = asyncio.Event()
    async with (
        RedisClient(url, SCHEMA, name="test", timeout_s=5) as client,
        PubSub(url, lambda _stream, _entries: moved.set(), name="test-pubsub") as pubsub,
        asyncio.timeout(30),
    ):
        pubsub.subscribe(STREAM)
        await moved.wait()
        assert await client.execute("SET", STREAM, "old") == b"OK"
        await asyncio.to_thread(change)
        moved.clear()
        await redis.rotate()
        await moved.wait()  # subscribed anew
        while True:
            try:
                assert await client.execute("ACL", "WHOAMI", key=STREAM) == b"relay"
                break
            except Unavailable:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("place", ["password", "url"])
async def test_a_file_of_secrets_that_changes(redis, monkeypatch, tmp_path, place: str) -> None:
    """As Kubernetes replaces it: one server, behind sentinels, on a cluster; notifications as commands."""
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))

    def write(password: str) -> None:
        if place == "password":
            (tmp_path / "RELAY_REDIS_PASSWORD").write_text(f"{password}\n")
        else:
            whole = redis.url.replace("://", f"://relay:{password}@", 1)
            (tmp_path / "RELAY_REDIS_URL").write_text(f"{whole}\n")

    if place == "password":
        monkeypatch.setenv("RELAY_REDIS_URL", redis.url)
        monkeypatch.setenv("RELAY_REDIS_USERNAME", "relay")
    await asyncio.to_thread(write, OLD)
    settings = await asyncio.to_thread(StoreSettings.load)

    assert "planted-secret" not in repr(settings)
    await use_it(settings.store_url, lambda: write(NEW), redis)


@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_a_provider(redis, monkeypatch, kind: str) -> None:
    """As a cloud's identities need it: asked for each connection."""
    asked: list[str] = []
    passwords = [OLD]

    def plain() -> tuple[str, str]:
        asked.append("plain")
        return "relay", passwords[-1]

    async def coroutine() -> Credentials:
        asked.append("coroutine")
        return Credentials("relay", passwords[-1])

    module = SimpleNamespace(tokens=SimpleNamespace(function=plain, coroutine=coroutine))
    monkeypatch.setitem(sys.modules, "company_identity", module)
    settings = StoreSettings.load(
        redis_url=redis.url, redis_credential_provider=f"company_identity:tokens.{kind}"
    )

    await use_it(settings.store_url, lambda: passwords.append(NEW), redis)
    assert len(asked) > 2


async def test_a_provider_that_fails(redis, monkeypatch) -> None:
    """Is asked again, and neither ends the process nor has its words repeated."""
    outcomes = [RuntimeError("planted-secret"), ValueError("planted-secret"), ("relay",), None]

    async def tokens() -> object:
        outcome = outcomes.pop(0) if outcomes else ("relay", OLD)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setitem(sys.modules, "company_identity", SimpleNamespace(tokens=tokens))
    settings = StoreSettings.load(redis_url=redis.url, redis_credential_provider="company_identity:tokens")

    async with RedisClient(settings.store_url, SCHEMA, name="test") as client, asyncio.timeout(20):
        await client.ready()
        assert await client.execute("ACL", "WHOAMI", key="x") == b"relay"
    assert outcomes == []


async def test_a_file_that_is_away_for_a_while(redis, monkeypatch, tmp_path, eventually) -> None:
    """A connection that opens meanwhile fails and is tried again."""
    secret = tmp_path / "RELAY_REDIS_PASSWORD"
    await asyncio.to_thread(secret.write_text, OLD)
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))
    settings = await asyncio.to_thread(StoreSettings.load, redis_url=redis.url, redis_username="relay")
    await asyncio.to_thread(secret.unlink)

    async with RedisClient(settings.store_url, SCHEMA, name="test") as client:
        with pytest.raises(Unavailable) as refused:
            await client.execute("PING")
        assert "planted" not in str(refused.value)
        await asyncio.to_thread(secret.write_text, OLD)
        await eventually(lambda: client.connected)
