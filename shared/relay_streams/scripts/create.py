"""Create: a new conversation, queued for an owner."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

CREATE: Final = load("create", number, after=("outbox",))


def create(
    keys: ConversationKeys,
    *,
    creator: str,
    fields: Sequence[Argument],
    started: bytes = b"",
    outbox_entries: int = 0,
) -> Call[bool]:
    """Create a conversation with these fields of its record, names and values alternating.

    The result is False when the id exists: nothing was written.

    Args:
        keys: The conversation.
        creator: The API key that creates it; empty: none.
        fields: Of the record.
        started: The data of the outbox's ``conversation.started``, as JSON.
        outbox_entries: Most entries of the outbox; 0: nothing is appended to it.
    """
    outbox = (keys.outbox, keys.outbox_discarded) if outbox_entries else ()
    return Call(
        CREATE,
        (keys.meta, keys.unowned, keys.made(creator), *outbox),
        (keys.id, started, outbox_entries, *fields),
        bool,
    )
