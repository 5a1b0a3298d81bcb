"""Finish: a conversation ends, after its owner's last frame."""

from collections.abc import Mapping
from itertools import chain
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

FINISH: Final = load("finish", number)


def finish(
    keys: ConversationKeys,
    *,
    creator: str,
    lease: str,
    keep_frames_ms: int,
    keep_record_ms: int,
    replaced: Mapping[bytes, bytes],
) -> Call[bool]:
    """End a conversation, and write these fields of its record.

    The result is False when the lease has another value: nothing was written.
    """
    return Call(
        FINISH,
        (keys.meta, keys.lease, keys.leases, keys.down, keys.up, keys.made(creator)),
        (keys.id, lease, keep_frames_ms, keep_record_ms, *chain.from_iterable(replaced.items())),
        bool,
    )
