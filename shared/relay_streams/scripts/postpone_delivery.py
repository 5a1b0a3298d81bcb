"""Postpone a delivery: its endpoint cannot take an attempt now."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

POSTPONE_DELIVERY: Final = load("postpone_delivery", number)


def postpone_delivery(keys: PartitionKeys, delivery: str, *, wait_ms: int) -> Call[bool]:
    """Look at a due delivery again after a time. The result is False when none could begin now anyway."""
    return Call(
        POSTPONE_DELIVERY,
        (keys.webhook(delivery), keys.webhooks_due, keys.webhooks_sent),
        (delivery, wait_ms),
        bool,
    )
