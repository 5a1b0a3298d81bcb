"""Attend: who attends to a conversation."""

from functools import partial
from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

ATTEND: Final = load("attend", word("missing", ok=(int, int)), after=("outbox",))


class Attendance(NamedTuple):
    """Who attends to a conversation."""

    waits_s: float | None
    """For how long it has waited for an owner; None when it has one."""
    unseen_s: float
    """For how long no gateway has noted a viewer."""


def attend(
    keys: ConversationKeys, *, watched: bool = False, watched_ms: int = 0, outbox_entries: int = 0
) -> Call[Attendance]:
    """Read the attendance; with ``watched`` also note that viewers watch.

    The call raises ``Missing`` when there is no such conversation.

    Args:
        keys: The conversation.
        watched: Whether viewers watch it at the caller.
        watched_ms: Their time, to be added to the record's. For a conversation that has ended, the outbox
            gets ``viewers.watched`` with the sum: no other event follows that could have it.
        outbox_entries: Most entries of the outbox, if there is such time.
    """
    outbox = (keys.outbox, keys.outbox_discarded) if watched_ms else ()
    return Call(
        ATTEND,
        (keys.meta, keys.lease, *outbox),
        ("1" if watched else "", *((watched_ms, keys.id, outbox_entries) if watched_ms else ())),
        partial(_read, keys.id),
    )


def _read(conversation: str, reply: Reply) -> Attendance:
    if reply[0] != b"ok":
        raise Missing(f"no record of conversation {conversation}")
    return Attendance(None if reply[1] < 0 else reply[1] / 1000, reply[2] / 1000)
