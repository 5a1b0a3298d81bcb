"""Stores: the Redis a scenario runs on, and what can be done to it."""

import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from redis.asyncio import Redis
from tests.rigs.proxy import Proxy
from tests.rigs.redis_process import Process, workshop
from tests.rigs.redis_topologies import (
    REPLICATED,
    ClusterTopology,
    SentinelTopology,
    cluster_topology,
    sentinel_topology,
)

from relay_redis.local_server import LocalServer, distribution_binary, embedded_binary

Topology = Literal[
    "one Redis", "one Redis, AOF", "one Redis, proxied", "two behind a name", "Valkey", "Sentinel", "Cluster"
]
RELAY_USER = "relay"


@dataclass
class Pair:
    """A primary and its replica behind one name, which the proxy stands for."""

    primary: Process
    replica: Process


@dataclass
class Credentials:
    """What the relay logs in with: a user of its own, and a password from a folder of secrets."""

    folder: Path
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """For every process."""
        return {"RELAY_REDIS_USERNAME": RELAY_USER, "RELAY_SECRETS_DIR": str(self.folder)}

    def write(self) -> None:
        """Put the password into the folder, in one step."""
        fresh = self.folder / "fresh"
        fresh.write_text(self.password + "\n")
        fresh.replace(self.folder / "RELAY_REDIS_PASSWORD")


@dataclass
class Store:
    """A running topology. Only what belongs to it is set."""

    url: str
    """For the relay."""
    tap_url: str
    """For the tap: past any proxy."""
    server: LocalServer | None = None
    proxy: Proxy | None = None
    pair: Pair | None = None
    sentinel: SentinelTopology | None = None
    cluster: ClusterTopology | None = None
    credentials: Credentials | None = None

    @property
    def one(self) -> LocalServer:
        """The only server."""
        assert self.server is not None
        return self.server

    @property
    def data_ports(self) -> list[int]:
        """Where the servers with data listen, whatever their roles."""
        if self.server is not None:
            return [self.server.port]
        return [process.port for process in self._data]

    @property
    def pids(self) -> list[int]:
        """Every process of it that runs, sentinels included."""
        if self.server is not None:
            return [self.server.process.pid] if self.server.process else []
        watchers = self.sentinel.sentinels if self.sentinel else []
        return [process.pid for process in (*self._data, *watchers) if process.process is not None]

    @property
    def _data(self) -> list[Process]:
        if self.sentinel is not None:
            return self.sentinel.data
        if self.cluster is not None:
            return self.cluster.processes
        return [self.pair.primary, self.pair.replica] if self.pair else []

    async def primary_ports(self) -> list[int]:
        """Where the servers listen that take writes now."""
        if self.sentinel is not None:
            return [(await self.sentinel.primary()).port]
        if self.cluster is not None:
            return [process.port for process in await self.cluster.primaries()]
        return self.data_ports[:1]

    def kill(self) -> None:
        """End the only server as a power cut does."""
        assert self.one.process is not None
        os.kill(self.one.process.pid, signal.SIGKILL)
        self.one.process.wait()

    def start_again(self) -> None:
        """Bring the only server back on its port. Blocks for some ten milliseconds."""
        self.one.stop()
        self.one.start()

    async def execute(self, *command: str | int) -> Any:
        """Send the only server a command."""
        return await at_port(self.one.port, *command)

    async def everywhere(self, *command: str | int) -> list[Any]:
        """Send every server with data a command; returns their replies."""
        return [await at_port(port, *command) for port in self.data_ports]

    async def rotate(self) -> None:
        """Give the relay's user another password, and the folder of secrets first."""
        assert self.credentials is not None
        old, self.credentials.password = self.credentials.password, secrets.token_urlsafe(16)
        self.credentials.write()
        await self.everywhere("ACL", "SETUSER", RELAY_USER, f"<{old}", f">{self.credentials.password}")


async def at_port(port: int, *command: str | int) -> Any:
    """Send the server on a port a command."""
    async with Redis(port=port, protocol=2) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's


@asynccontextmanager
async def open_store(topology: Topology, *, credentials: bool = False) -> AsyncIterator[Store]:
    """Start a topology. Entering blocks for up to two seconds, so it comes before everything else.

    Args:
        topology: Which.
        credentials: Whether the relay gets a user of its own.
    """
    async with _started(topology) as store:
        if credentials:
            with tempfile.TemporaryDirectory(prefix="avatar-relay-secrets-") as folder:
                store.credentials = Credentials(Path(folder))
                store.credentials.write()
                password = f">{store.credentials.password}"
                await store.everywhere("ACL", "SETUSER", RELAY_USER, "on", password, "~*", "&*", "+@all")
                yield store
        else:
            yield store


@asynccontextmanager
async def _started(topology: Topology) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        if topology == "Sentinel":
            sentinel = stack.enter_context(sentinel_topology())
            yield Store(sentinel.url, sentinel.url, sentinel=sentinel)
            return
        if topology == "Cluster":
            cluster = stack.enter_context(cluster_topology())
            yield Store(cluster.url, cluster.url, cluster=cluster)
            return
        if topology == "two behind a name":
            start = stack.enter_context(workshop(None))
            primary = start("primary", *REPLICATED)
            replica = start("replica", *REPLICATED, "--replicaof", "127.0.0.1", str(primary.port))
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", primary.port))
            # The replica has everything, before and after it becomes the primary.
            yield Store(proxy.url, replica.url, proxy=proxy, pair=Pair(primary, replica))
            return
        binary = embedded_binary() if topology == "Valkey" else distribution_binary() or embedded_binary()
        arguments: tuple[str, ...] = ()
        if topology == "one Redis, AOF":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="avatar-relay-aof-"))
            arguments = ("--appendonly", "yes", "--dir", directory)
        server = stack.enter_context(LocalServer(binary, arguments=arguments))
        if topology == "one Redis, proxied":
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", server.port))
            yield Store(proxy.url, server.url, server=server, proxy=proxy)
        else:
            yield Store(server.url, server.url, server=server)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send processes a signal."""
    for pid in pids:
        os.kill(pid, number)
