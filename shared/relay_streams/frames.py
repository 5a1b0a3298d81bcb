"""Frames: a plain read of a down stream, for readers that may be late."""

from relay_redis.client import RedisClient
from relay_streams.conversations import fields_of
from relay_streams.keys import ConversationKeys
from relay_wire.position import Position


async def frames_after(
    client: RedisClient, keys: ConversationKeys, cursor: Position, *, limit: int
) -> list[bytes]:
    """Read the frames after a position that the stream still has, the oldest first.

    Whether frames are missing in between is for the caller to see, by their positions.

    Args:
        client: The Redis client.
        keys: The conversation.
        cursor: The last frame that is not wanted.
        limit: Most frames.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    entries = await client.execute("XRANGE", keys.down, f"({cursor}", "+", "COUNT", limit, key=keys.down)
    return [fields_of(fields).get(b"f", b"") for _, fields in entries]
