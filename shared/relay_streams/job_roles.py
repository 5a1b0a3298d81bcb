"""Job roles: of which roles of the jobs service a process has done its work lately."""

from typing import Final

from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace

ROLES: Final = ("dispatcher", "worker", "beat")
ANNOUNCE_S: Final = 10.0
"""The time between two announcements of one process."""
KEEP_MS: Final = 30_000
"""How long an announcement is kept."""


async def announce(client: RedisClient, keys: KeySpace, role: str, process: str) -> None:
    """Store that a process of a role does its work now.

    Raises:
        StoreError: Redis cannot run it now.
    """
    await client.execute("SET", keys.shared(0).job_role(role), process, "PX", KEEP_MS)


async def missing(client: RedisClient, keys: KeySpace) -> list[str]:
    """The roles of which no process has done its work in the last ``KEEP_MS``.

    Raises:
        StoreError: Redis cannot be read now.
    """
    found = [await client.execute("GET", keys.shared(0).job_role(role)) for role in ROLES]
    return [role for role, process in zip(ROLES, found, strict=True) if process is None]
