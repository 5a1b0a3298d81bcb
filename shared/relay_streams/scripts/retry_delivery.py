"""Retry a delivery: a dead letter is due now."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

RETRY_DELIVERY: Final = load("retry_delivery", number)


def retry_delivery(keys: PartitionKeys, delivery: str) -> Call[bool]:
    """Make a dead letter due now, with as many further attempts as a new delivery.

    The result is False when it is no dead letter.
    """
    return Call(
        RETRY_DELIVERY,
        (keys.webhook(delivery), keys.webhooks_due, keys.webhooks_dead),
        (delivery,),
        bool,
    )
