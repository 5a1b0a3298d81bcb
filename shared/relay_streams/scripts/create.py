"""Create: a new conversation, queued for an owner."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

CREATE: Final = load("create", number)


def create(keys: ConversationKeys, *, creator: str, fields: Sequence[Argument]) -> Call[bool]:
    """Create a conversation with these fields of its record, names and values alternating.

    The result is False when the id exists: nothing was written.
    """
    return Call(CREATE, (keys.meta, keys.unowned, keys.made(creator)), (keys.id, *fields), bool)
