"""Replication: one server becomes the replica of another."""

from tests.rigs.eventually import eventually
from tests.rigs.redis_server import Server

from relay_redis.client import RedisClient


async def replicate(primary: RedisClient, replica: RedisClient, server: Server) -> None:
    """Attach the replica to the primary, which is this server, and wait until it has copied everything."""
    await primary.execute("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    await replica.execute("REPLICAOF", *server.peer)
    # A server that never had a replica counts its first one while that still copies.
    await eventually(
        lambda: replica.execute("INFO", "replication"),
        20,
        until=lambda info: b"master_link_status:up" in info,
    )
