"""Defer: a conversation returns to the queue after a delay that doubles each time."""

from typing import Final

from relay_redis.replies import number
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

DEFER: Final = load("defer", number)


def defer(keys: ConversationKeys, *, entry: str, first_wait_ms: int, max_wait_ms: int) -> Call[int]:
    """Defer a conversation and acknowledge its queue entry. The result is the delay in ms."""
    return Call(
        DEFER,
        (keys.meta, keys.leases, keys.unowned),
        (keys.id, first_wait_ms, max_wait_ms, CONSUMER_GROUP, entry),
        int,
    )
