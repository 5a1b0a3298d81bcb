"""Begin: the conversation of a replay."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

BEGIN_REPLAY: Final = load("begin_replay", number)


def begin_replay(
    keys: ConversationKeys, *, lease: str, expires_ms: int, fields: Sequence[Argument]
) -> Call[int]:
    """Create a conversation that the caller owns, with these fields of its record.

    The result is its time in ms, which its field ``seen`` has until a gateway reports a viewer; or 0 when
    there is such a conversation: nothing was written.
    """
    return Call(BEGIN_REPLAY, (keys.meta, keys.down, keys.lease), (lease, expires_ms, *fields), int)
