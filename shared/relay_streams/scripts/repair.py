"""Repair: a conversation that no index has is indexed and queued again."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

REPAIR: Final = load("repair", number)


def repair(keys: ConversationKeys, *, creator: str, lost_ms: int) -> Call[bool]:
    """Index a conversation that has had no owner for ``lost_ms``. The result says whether it was queued."""
    return Call(
        REPAIR,
        (keys.meta, keys.lease, keys.leases, keys.unowned, keys.made(creator)),
        (keys.id, lost_ms),
        bool,
    )
