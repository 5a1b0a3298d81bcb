"""Append to the uplink: an entry that is not speech."""

from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_streams.scripts.uplink_rejection import rejection
from relay_wire.uplink import Message

APPEND_UPLINK: Final = load(
    "append_uplink",
    word("full", "ended", "missing", ok=(int,), fenced=(bytes,)),
    after=("uplink_bounds",),
)


def append_uplink(
    keys: ConversationKeys,
    entry: Message,
    *,
    generation: int | None,
    limits: tuple[int, int],
    viewer_limits: tuple[int, int],
) -> Call[int]:
    """Append an entry; of an agent with its owner's generation. The result is the turn opened last.

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


def _read(reply: Reply) -> int:
    if reply[0] != b"ok":
        raise rejection(reply)
    return int(reply[1])
