"""Stores: the Redis a scenario runs on, and what can be done to it."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from tests.proxy import Proxy
from tests.topologies import ClusterTopology, SentinelTopology, cluster_topology, sentinel_topology

from relay_streams.server import Server, distribution_binary, embedded_binary

Topology = Literal["one Redis", "one Redis, AOF", "one Redis, proxied", "Valkey", "Sentinel", "Cluster"]


@dataclass
class Store:
    """A running topology. Only what belongs to it is set."""

    url: str
    """For the relay."""
    tap_url: str
    """For the tap: past any proxy."""
    server: Server | None = None
    proxy: Proxy | None = None
    sentinel: SentinelTopology | None = None
    cluster: ClusterTopology | None = None

    @property
    def one(self) -> Server:
        """The only server."""
        assert self.server is not None
        return self.server

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
        async with Redis(port=self.one.port, protocol=2) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's


@asynccontextmanager
async def open_store(topology: Topology) -> AsyncIterator[Store]:
    """Start a topology. Entering blocks for up to two seconds, so it comes before everything else."""
    async with AsyncExitStack() as stack:
        if topology == "Sentinel":
            sentinel = stack.enter_context(sentinel_topology())
            yield Store(sentinel.url, sentinel.url, sentinel=sentinel)
            return
        if topology == "Cluster":
            cluster = stack.enter_context(cluster_topology())
            yield Store(cluster.url, cluster.url, cluster=cluster)
            return
        binary = embedded_binary() if topology == "Valkey" else distribution_binary() or embedded_binary()
        arguments: tuple[str, ...] = ()
        if topology == "one Redis, AOF":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="avatar-relay-aof-"))
            arguments = ("--appendonly", "yes", "--dir", directory)
        server = stack.enter_context(Server(binary, arguments=arguments))
        if topology == "one Redis, proxied":
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", server.port))
            yield Store(proxy.url, server.url, server=server, proxy=proxy)
        else:
            yield Store(server.url, server.url, server=server)
