"""The security suite's gateways, those of the integration tests; an authority; a Redis that speaks TLS."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from tests.integration.gateway.conftest import open_rig
from tests.rigs.certificates import issue
from tests.rigs.need import need
from tests.rigs.redis_process import Process, free_port, speaks_tls, workshop
from tests.security import processes
from tests.security.processes import Service

from relay_redis.local_server import LocalServer, distribution_binary, embedded_binary

__all__ = ["open_rig"]

PASSWORD = "planted-secret-@-Redis/with:odd?characters#"

_THREAT_MODEL = Path(__file__).parents[2] / "docs" / "design" / "threat-model.md"
ACL = _THREAT_MODEL.read_text().partition("ACL SETUSER relay on >PASSWORD ")[2].partition("```")[0]
"""The permissions of the relay's user in docs/design/threat-model.md."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority) -> ssl.SSLContext:
    """A client that trusts this authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def pair(authority, tmp_path) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    paths = tmp_path / "tls.crt", tmp_path / "tls.key"
    issue(authority, *paths)
    return paths


@pytest.fixture
def tls_redis(pair, authority, tmp_path) -> Iterator[tuple[str, Path, Process]]:
    """A real server that speaks TLS, with one ACL user; its URL, CA file, and a way past both."""
    binary = need(distribution_binary(), "redis-server")
    need(binary if speaks_tls(binary) else None, "a redis-server that speaks TLS")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    port = free_port()
    with workshop(binary) as start:
        server = start(
            "primary", "--tls-port", str(port), "--save", "",
            "--tls-cert-file", str(pair[0]), "--tls-key-file", str(pair[1]),
            "--tls-ca-cert-file", str(tmp_path / "ca.crt"), "--tls-auth-clients", "no",
        )  # fmt: skip
        server.ask("ACL", "SETUSER", "relay", "on", f">{PASSWORD}", *ACL.split())
        (tmp_path / "RELAY_REDIS_PASSWORD").write_text(PASSWORD + "\n")
        yield f"rediss://127.0.0.1:{port}", tmp_path / "ca.crt", server


@pytest.fixture(scope="session")
def some_redis() -> Iterator[LocalServer]:
    """A real server, for tests of processes: which one it is makes no difference to them."""
    with LocalServer(need(embedded_binary() or distribution_binary(), "a Redis or Valkey server")) as server:
        yield server


@pytest.fixture
def service(some_redis, tmp_path) -> Callable[..., AbstractAsyncContextManager[Service]]:
    """``async with service("gateway", RELAY_...=...) as child``: a process, at a real store."""

    @asynccontextmanager
    async def opened(kind: str, **settings: str) -> AsyncIterator[Service]:
        async with processes.service(kind, tmp_path, some_redis.url, **settings) as child:
            yield child

    return opened
