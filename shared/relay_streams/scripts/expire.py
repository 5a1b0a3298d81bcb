"""Expire: conversations whose lease has expired return to the queue."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, three_numbers
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

EXPIRE: Final = load("expire", three_numbers)
_MOST_UNDELIVERED = 1000
"""The most conversations, read by no worker, that are counted: more workers are needed long before."""


class Queue(NamedTuple):
    """The state of a partition's queue."""

    requeued: int
    """Conversations that this call queued, since their lease had expired."""
    waiting: int
    """Conversations that wait for an owner; those that no worker has read are counted up to 1,000."""
    oldest_s: float
    """How long the first of them has waited."""


def expire(keys: PartitionKeys, *, limit: int) -> Call[Queue]:
    """Queue up to ``limit`` conversations whose lease has expired."""
    return Call(EXPIRE, (keys.leases, keys.unowned), (limit, CONSUMER_GROUP, _MOST_UNDELIVERED), _read)


def _read(reply: Reply) -> Queue:
    requeued, waiting, oldest_ms = reply
    return Queue(requeued, waiting, oldest_ms / 1000)
