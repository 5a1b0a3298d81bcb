"""Close idle: the end of a conversation is requested that nobody uses any more."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

CLOSE_IDLE: Final = load("close_idle", number, after=("idleness", "uplink_bounds"))


def close_idle(keys: ConversationKeys, *, idle_ms: int, reason: str) -> Call[bool]:
    """Append a close to the uplink of an open conversation that is idle for ``idle_ms`` at least.

    The result is False when it is not: nothing was written.
    """
    return Call(CLOSE_IDLE, (keys.meta, keys.up), (idle_ms, reason), bool)
