"""Finish an attempt of a delivery: it is delivered, due again, or a dead letter."""

from typing import Final, Literal

from relay_redis.replies import Reply, word
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

FINISH_DELIVERY: Final = load("finish_delivery", word("stale", finished=(int,)))


def finish_delivery(
    keys: PartitionKeys,
    delivery: str,
    *,
    attempt: int,
    state: Literal["delivered", "due", "dead"],
    wait_ms: int,
    outcome: str,
    status: int,
    keep_delivered_ms: int,
    most_dead: int,
) -> Call[int | None]:
    """Record the result of an attempt.

    The result is how many dead letters were discarded at the bound; None when another attempt has begun
    since, and this one was no success: nothing was recorded.
    """
    return Call(
        FINISH_DELIVERY,
        (keys.webhook(delivery), keys.webhooks_due, keys.webhooks_dead),
        (delivery, attempt, state, wait_ms, outcome, status, keep_delivered_ms, most_dead),
        _read,
    )


def _read(reply: Reply) -> int | None:
    return int(reply[1]) if reply[0] == b"finished" else None
