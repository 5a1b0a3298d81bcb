"""Restore: a living owner writes its ownership again after Redis has lost data."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.errors import Fenced
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

RESTORE: Final = load("restore", word(ok=(int,), fenced=(bytes,)))


def restore(
    keys: ConversationKeys,
    *,
    generation: int,
    lease: str,
    lease_ms: int,
    floor: int,
    cursor: str,
    turn: int,
    offset: int,
    state: str,
    key: str,
    trace: str,
    fields: Sequence[Argument],
) -> Call[int]:
    """Restore record, lease and input. The result is the seq after which the owner writes its frames again.

    The call raises ``Fenced`` when a greater generation owns the conversation.

    Args:
        keys: The conversation.
        generation: The owner's.
        lease: The value of its lease.
        lease_ms: How long the lease holds.
        floor: The seq before the oldest frame that the owner can write again.
        cursor: The last uplink entry that it has read.
        turn: The last turn whose speech it has read.
        offset: Bytes of that turn.
        state: Whether more of that turn is to come.
        key: The key with which that turn was opened.
        trace: The trace context with which it was opened, as ``Context.encode``.
        fields: The record at its creation, names and values alternating.
    """
    return Call(
        RESTORE,
        (keys.meta, keys.lease, keys.leases, keys.down, keys.up),
        (keys.id, generation, lease, lease_ms, floor, cursor, turn, offset, state, key, trace, *fields),
        read,
    )


def read(reply: Reply) -> int:
    """The seq in a reply. Raises ``Fenced``."""
    if reply[0] == b"fenced":
        raise Fenced(int(reply[1]))
    return int(reply[1])
