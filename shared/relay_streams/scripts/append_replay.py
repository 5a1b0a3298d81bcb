"""Append: frames of a recording, in the conversation of its replay."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load
from relay_wire.frame import position_of
from relay_wire.position import Position

APPEND_REPLAY: Final = load("append_replay", number)


def append_replay(
    keys: ConversationKeys,
    *,
    lease: str,
    expires_ms: int,
    trim_to: Position | None,
    fields: Mapping[str, Argument],
    frames: Sequence[bytes],
) -> Call[bool]:
    """Append frames, and write fields of the record. False when the lease was lost: nothing was written."""
    written: list[Argument] = list(chain.from_iterable(fields.items()))
    entries: list[Argument] = []
    for frame in frames:
        entries += (str(position_of(frame)), frame)
    return Call(
        APPEND_REPLAY,
        (keys.meta, keys.down, keys.lease, keys.up),
        (lease, expires_ms, "" if trim_to is None else str(trim_to), len(written), *written, *entries),
        bool,
    )
