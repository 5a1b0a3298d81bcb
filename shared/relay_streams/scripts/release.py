"""Release: an owner returns a conversation to the queue."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

RELEASE: Final = load("release", number)


def release(keys: ConversationKeys, *, lease: str) -> Call[bool]:
    """Release a conversation. The result is False when the lease has another value: nothing was written."""
    return Call(RELEASE, (keys.lease, keys.leases, keys.unowned), (keys.id, lease), bool)
