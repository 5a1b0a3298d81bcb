"""Task deliveries: how often the broker has delivered one task again."""

from typing import Final

from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace

KEEP_MS: Final = 86_400_000
"""How long a count is kept; longer than the time between two deliveries of a task."""


async def count_again(client: RedisClient, keys: KeySpace, task: str) -> int:
    """Count a further delivery of a task. Returns how many there were, without the first.

    Two deliveries at the same time may count as one.

    Raises:
        StoreError: Redis cannot run it now.
    """
    key = keys.shared(0).task_deliveries(task)
    found = await client.execute("GET", key)
    again = int(found) + 1 if found and found.isdigit() and len(found) <= 9 else 1
    await client.execute("SET", key, again, "PX", KEEP_MS)
    return again
