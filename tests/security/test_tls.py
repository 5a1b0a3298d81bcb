"""TLS on every port, and to Redis: who cannot prove who it is, is not spoken with."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from tests.rigs.certificates import issue
from tests.rigs.metrics import metric

from relay_cli.stack import Child
from relay_redis.local_server import LocalServer
from relay_runtime import tls
from relay_runtime.http import listen
from relay_runtime.tasks import TaskScope
from relay_runtime.tls import FAILURES, Certificate
from relay_settings.environment import child_environment

SECRET = "planted-secret-of-viewer-tokens-" + "k" * 8


@pytest.mark.parametrize("service", ["gateway", "control"])
async def test_every_port(service: str, pair, trusting, tmp_path, redis_server: LocalServer) -> None:
    """Service and admin port: encrypted, and nothing else is answered."""
    environment = {
        "RELAY_TLS_CERT": str(pair[0]), "RELAY_TLS_KEY": str(pair[1]), "RELAY_TLS_ADMIN": "true",
        "RELAY_TOKEN_SECRET": SECRET, "RELAY_API_KEYS": f"0123abcd:{'0' * 64}:admin", "RELAY_HEADER_S": "0.5",
        "RELAY_GATEWAY_PORT": "0", "RELAY_CONTROL_PORT": "0", "RELAY_REDIS_URL": redis_server.url,
    }  # fmt: skip
    child = Child(service, service, environment, tmp_path)
    await child.start()
    try:
        async with aiohttp.ClientSession() as http:
            for url in (child.url.replace("wss", "https"), child.admin):
                assert url.startswith("https://")
                async with http.get(url, ssl=trusting) as response:
                    assert response.status in (200, 404)
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await http.get(url)
                with pytest.raises(aiohttp.ClientError):
                    await http.get(url.replace("https", "http"))
                trusting.maximum_version = ssl.TLSVersion.TLSv1_2
                async with http.get(url, ssl=trusting) as response:
                    assert response.status in (200, 404)
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
                assert await reader.read() == b""  # a silent client gets no handshake
                writer.close()
    finally:
        assert await child.stop() == 0


def test_a_certificate_that_is_none(pair) -> None:
    """The process names the wrong setting."""
    pair[1].write_text("no key")
    environment = {
        "RELAY_TLS_CERT": str(pair[0]),
        "RELAY_TLS_KEY": str(pair[1]),
        "RELAY_TOKEN_SECRET": SECRET,
    }

    ended = subprocess.run(
        [sys.executable, "-m", "relay_gateway"], env=child_environment(environment), capture_output=True,
        text=True, timeout=30, check=False,
    )  # fmt: skip

    assert ended.returncode == 2
    assert "RELAY_TLS_CERT, RELAY_TLS_KEY" in ended.stderr
    assert "planted-secret" not in ended.stderr


@asynccontextmanager
async def served(certificate: Certificate) -> AsyncIterator[int]:
    """A port that serves it and follows its files."""
    async with (
        TaskScope() as tasks,
        listen(web.Application(), "127.0.0.1", 0, tls=certificate.context) as url,
    ):
        tasks.spawn(certificate.follow(), name="certificate")
        yield int(url.rpartition(":")[2])


async def shown(
    port: int, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, name: str | None = None
) -> bytes:
    """The certificate a client is shown; without a name it sends none."""
    context = ssl.create_default_context()
    context.maximum_version = highest
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.close()
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return certificate


async def test_a_certificate_is_renewed(authority, pair, monkeypatch, eventually) -> None:
    """New connections get the new one; a broken pair changes nothing."""
    monkeypatch.setattr(tls, "POLL_S", 0.01)
    certificate = Certificate(*pair)
    await asyncio.to_thread(certificate.load)
    async with served(certificate) as port:
        first = await shown(port)
        failures = metric(FAILURES)
        await asyncio.to_thread(pair[1].write_bytes, b"half a key")
        await eventually(lambda: metric(FAILURES) > failures)
        assert await shown(port) == first

        await asyncio.to_thread(issue, authority, *pair)
        await eventually(lambda: shown(port), until=lambda certificate: certificate != first)


async def test_no_handshake_fails_while_a_certificate_is_renewed(
    authority, pair, monkeypatch, eventually
) -> None:
    """Each has the pair before or the one after, with TLS 1.2 and 1.3."""
    monkeypatch.setattr(tls, "POLL_S", 0)
    certificate = Certificate(*pair)
    await asyncio.to_thread(certificate.load)
    async with served(certificate) as port, TaskScope() as tasks:
        seen = {await shown(port)}

        async def connect(highest: ssl.TLSVersion, name: str | None) -> None:
            while len(seen) <= 10:
                seen.add(await shown(port, highest, name))

        connecting = [
            tasks.spawn(connect(highest, name), name=f"{highest.name} {name}")
            for highest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
            for name in (None, "relay.example")
        ]
        for renewed in range(1, 11):
            await asyncio.to_thread(issue, authority, *pair)
            await eventually(lambda renewed=renewed: len(seen) > renewed)
        await asyncio.gather(*connecting)
