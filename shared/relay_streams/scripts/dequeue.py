"""Dequeue: a worker reads conversations without an owner from a partition's queue."""

from typing import Final

from relay_redis.replies import Reply, pairs
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

DEQUEUE: Final = load("dequeue", pairs)


def dequeue(
    keys: PartitionKeys, *, consumer: str, limit: int, reclaim_ms: int
) -> Call[list[tuple[str, str]]]:
    """Read up to ``limit`` entries: pending at another consumer for ``reclaim_ms`` first, then new ones.

    The result is a list of queue entry and conversation id.
    """
    return Call(DEQUEUE, (keys.unowned,), (CONSUMER_GROUP, consumer, limit, reclaim_ms), _read)


def _read(reply: Reply) -> list[tuple[str, str]]:
    return [
        (entry.decode(), conversation.decode(errors="replace"))
        for entry, conversation in zip(reply[::2], reply[1::2], strict=True)
    ]
