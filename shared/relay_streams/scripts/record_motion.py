"""Record a Motion session: the outbox gets that it was opened, or closed."""

from typing import Final, Literal

from relay_redis.replies import Reply, word
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

RECORD_MOTION: Final = load("record_motion", word("missing", ok=(int,)), after=("outbox",))


def record_motion(
    keys: ConversationKeys,
    what: Literal["opened", "closed"],
    *,
    generation: int,
    session: str,
    opened_ms: int,
    data: bytes,
    outbox_entries: int,
) -> Call[bool]:
    """Append ``motion.opened`` or ``motion.closed``, once for each session.

    The result is False when nothing was appended: it had been, or another owner has taken over. The call
    raises ``Missing``.

    Args:
        keys: The conversation.
        what: What happened.
        generation: The owner's.
        session: The vendor's id of the session.
        opened_ms: When it was opened, in ms since the epoch.
        data: Of the event, as JSON.
        outbox_entries: Most entries of the outbox.
    """
    return Call(
        RECORD_MOTION,
        (keys.meta, keys.outbox, keys.outbox_discarded),
        (what, keys.id, generation, session, opened_ms, data, outbox_entries),
        _read,
    )


def _read(reply: Reply) -> bool:
    if reply[0] != b"ok":
        raise Missing("the conversation's record is gone")
    return bool(reply[1])
