"""The installation: what processes must agree on, compared with Redis when they start and afterwards."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.rigs.proxy import Proxy

from relay_cli.doctor.examination import examine
from relay_gateway.app import gateway
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.gateway import GatewaySettings
from relay_settings.ingest import IngestSettings
from relay_streams.installation import Disagreement, Installation, installed
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA

SETTINGS = {
    "RELAY_TOKEN_SECRET": "planted-secret-" + "k" * 32,
    "RELAY_API_KEYS": "id:" + "0" * 64 + ":admin",
    "SPATIUS_API_KEY": "planted-secret-key",
    "SPATIUS_APP_ID": "app",
    "RELAY_GATEWAY_PORT": "0",
    "RELAY_CONTROL_PORT": "0",
}


async def test_the_first_process_writes_it_and_the_others_compare(open_store) -> None:
    """A process that counts other partitions would not see the conversations of the others."""
    async with open_store() as store:
        async with installed(store.client, KeySpace(16), timeout_s=5) as first:
            assert first.readiness() == ""
            assert await store.client.execute("GET", "relay:installation") == b'{"partitions":16,"schema":1}'
        async with installed(store.client, KeySpace(16), timeout_s=5) as second:
            assert second.readiness() == ""
        with pytest.raises(Disagreement, match=r"RELAY_PARTITIONS is 8 here and 16.*set it to 16.*delete"):
            async with installed(store.client, KeySpace(8), timeout_s=5):
                pytest.fail("it began")


async def test_of_two_that_start_at_once_one_gives_way(open_store) -> None:
    """The key is written once, whoever comes first."""
    async with open_store() as store:
        starts = [Installation(store.client, KeySpace(number)).compare() for number in (8, 16)]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)

        assert sum(isinstance(outcome, Disagreement) for outcome in outcomes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"somebody's", "RELAY_KEY_PREFIX"),
        (b'{"partitions":"many"}', "RELAY_KEY_PREFIX"),
        (b'{"partitions":16,"schema":2}', "version 2"),
    ],
)
async def test_a_key_of_somebody_else(open_store, content: bytes, message: str) -> None:
    """Another program's key, or another version's, is not overwritten."""
    async with open_store() as store:
        await store.client.execute("SET", "relay:installation", content)
        with pytest.raises(Disagreement, match=message):
            await Installation(store.client, KeySpace(16)).compare()

        assert await store.client.execute("GET", "relay:installation") == content


async def test_what_a_later_version_adds_is_passed_over(open_store) -> None:
    """Unknown fields are ignored."""
    async with open_store() as store:
        await store.client.execute("SET", "relay:installation", b'{"partitions":16,"schema":1,"more":true}')
        await Installation(store.client, KeySpace(16)).compare()


async def test_redis_away_at_the_start(open_store, redis_server) -> None:
    """The process starts, is not ready, and compares as soon as Redis is there; then it may have to go."""
    host, port = redis_server.url.removeprefix("redis://").split("/")[0].split(":")
    async with open_store() as store, Proxy(host, int(port)) as proxy:
        await store.client.execute("SET", "relay:installation", b'{"partitions":16,"schema":1}')
        await proxy.set_mode("refuse")
        async with RedisClient(proxy.url, SCHEMA, name="late", timeout_s=0.2) as client:
            async with installed(client, KeySpace(16), timeout_s=0.05) as installation:
                assert "not compared yet" in installation.readiness()
                await proxy.set_mode("pass")
                await installation.agreed.wait()
                assert installation.readiness() == ""
            await proxy.set_mode("refuse")
        async with RedisClient(proxy.url, SCHEMA, name="late", timeout_s=0.2) as client:
            with pytest.raises(Disagreement, match="RELAY_PARTITIONS"):
                async with installed(client, KeySpace(8), timeout_s=0.05) as installation:
                    await proxy.set_mode("pass")
                    await asyncio.Event().wait()


async def test_it_survives_flushall(open_store, eventually) -> None:
    """Whoever runs writes it again: at the latest with the next comparison."""
    async with open_store() as store, installed(store.client, KeySpace(16), timeout_s=5):
        await store.client.execute("FLUSHALL")
        store.client.reconnect("x")  # a connect brings the next comparison forward
        await eventually(
            lambda: _content(store.client), until=lambda content: content == b'{"partitions":16,"schema":1}'
        )


async def _content(client: RedisClient) -> bytes | None:
    try:
        content: bytes | None = await client.execute("GET", "relay:installation")
    except StoreError:
        return None
    return content


async def test_a_later_disagreement_ends_nothing(open_store, eventually) -> None:
    """Viewers that are served stay; the process answers that it is not ready, with the reason."""
    async with open_store() as store:
        settings = GatewaySettings.load(RELAY_TOKEN_SECRET="k" * 40, redis_url=store.url)
        async with gateway(settings) as service:
            await eventually(lambda: service.readiness() == "")
            await store.client.execute("SET", "relay:installation", b'{"partitions":8,"schema":1}')
            await store.cut("gateway")
            await eventually(lambda: "RELAY_PARTITIONS" in service.readiness())
            await store.client.execute("DEL", "relay:installation")
            await store.cut("gateway")
            await eventually(lambda: service.readiness() == "")


@asynccontextmanager
async def running(service: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"relay_{service}", env={**os.environ, **SETTINGS, **settings},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class TestProcesses:
    """Real processes: starting one blocks."""

    @pytest.fixture(autouse=True)
    def _guards(self) -> None:
        """A process is a tool, and may block."""

    @pytest.mark.parametrize("service", ["gateway", "control", "ingest"])
    async def test_a_process_that_disagrees_does_not_start(self, open_store, service: str) -> None:
        """Exit status 2 and one sentence, no traceback."""
        async with open_store() as store:
            await store.client.execute("SET", "relay:installation", b'{"partitions":16,"schema":1}')
            async with (
                running(service, RELAY_REDIS_URL=store.url, RELAY_PARTITIONS="8") as process,
                asyncio.timeout(30),
            ):
                output, log = await process.communicate()

        assert process.returncode == 2
        assert b"RELAY_PARTITIONS is 8 here and 16" in log
        assert b"Traceback" not in log
        assert b"ready" not in output

    async def test_doctor_compares_too(self, open_store, monkeypatch) -> None:
        """Without writing anything."""
        async with open_store() as store:
            monkeypatch.setenv("RELAY_REDIS_URL", store.url)
            monkeypatch.setenv("SPATIUS_CONSOLE_ENDPOINT", "http://127.0.0.1:1")
            monkeypatch.setenv("SPATIUS_INGRESS_ENDPOINT", "http://127.0.0.1:1")
            for number, state in ((None, "ok"), (16, "ok"), (8, "fail")):
                if number:
                    await store.client.execute(
                        "SET", "relay:installation", b'{"partitions":%d,"schema":1}' % number
                    )
                [finding] = [finding for finding in await examine() if finding.what == "installation"]
                assert finding.state == state
                if number is None:
                    assert await store.client.execute("EXISTS", "relay:installation") == 0


def test_every_service_has_the_same_key_space(monkeypatch) -> None:
    """The prefix and the partitions come from one place."""
    for name, value in {**SETTINGS, "RELAY_KEY_PREFIX": "other", "RELAY_PARTITIONS": "4"}.items():
        monkeypatch.setenv(name, value)
    for kind in (GatewaySettings, IngestSettings):
        space = KeySpace.of(kind.load())
        assert (space.prefix, space.partitions) == ("other", 4)
