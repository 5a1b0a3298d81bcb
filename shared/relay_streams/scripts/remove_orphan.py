"""Remove an orphan: streams of a conversation whose record Redis has lost, and that no owner restores."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

REMOVE_ORPHAN: Final = load("remove_orphan", number)


def remove_orphan(keys: ConversationKeys, *, gone_ms: int) -> Call[int]:
    """Delete the streams once their record has been gone for ``gone_ms``; at first only note the time.

    The result is how many were deleted.
    """
    return Call(
        REMOVE_ORPHAN, (keys.meta, keys.lease, keys.up, keys.down, keys.orphans), (keys.id, gone_ms), int
    )
