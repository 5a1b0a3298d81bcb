"""Ticks: which of several beats sends a tick of this interval."""

from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace

_FRACTION = 0.95
"""The part of an interval after which the next tick is free, so that its sender never comes too early."""


class Ticks:
    """The ticks of all beats of a relay.

    Args:
        client: Runs the commands.
        keys: The key space.
        beat: This beat's name.
    """

    def __init__(self, client: RedisClient, keys: KeySpace, *, beat: str) -> None:
        self._client = client
        self._keys = keys.shared(0)
        self._beat = beat

    async def claim(self, name: str, interval_s: float) -> bool:
        """Take the right to send a tick in this interval. Returns whether this beat has it now.

        Raises:
            StoreError: Redis cannot run it now; it may have happened.
        """
        expiry_ms = max(int(interval_s * _FRACTION * 1000), 1)
        reply = await self._client.execute("SET", self._keys.tick(name), self._beat, "NX", "PX", expiry_ms)
        return reply is not None

    async def give_up(self, name: str) -> None:
        """Return the right to a tick that could not be sent.

        Raises:
            StoreError: As ``claim``.
        """
        await self._client.execute("DEL", self._keys.tick(name))
