"""Append to the uplink: an entry that is not speech."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_streams.scripts.uplink_rejection import rejection
from relay_wire.uplink import Message

APPEND_UPLINK: Final = load(
    "append_uplink",
    word("full", "ended", "missing", ok=(int, int), fenced=(bytes,)),
    after=("uplink_bounds",),
)


class Receipt(NamedTuple):
    """An entry that was appended."""

    turn: int
    """The turn opened last."""
    accepted: bool | None
    """Whether the conversation's agent accepts entries of this kind; None: that is not known yet."""


def append_uplink(
    keys: ConversationKeys,
    entry: Message,
    *,
    generation: int | None,
    limits: tuple[int, int],
    viewer_limits: tuple[int, int],
) -> Call[Receipt]:
    """Append an entry; of an agent with its owner's generation.

    ``limits`` are the most entries and bytes that may wait, ``viewer_limits`` those of viewers. The call
    raises ``UplinkFull`` and ``Fenced``.
    """
    _, kind, *fields = entry.encode()
    return Call(
        APPEND_UPLINK,
        (keys.meta, keys.up),
        (kind, "" if generation is None else generation, entry.talks_over, *limits, *viewer_limits, *fields),
        _read,
    )


def _read(reply: Reply) -> Receipt:
    if reply[0] != b"ok":
        raise rejection(reply)
    return Receipt(int(reply[1]), None if reply[2] < 0 else reply[2] == 1)
