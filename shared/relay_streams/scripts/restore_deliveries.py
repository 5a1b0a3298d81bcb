"""Restore deliveries: those that their index has lost are due, or listed as dead letters, again."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

RESTORE_DELIVERIES: Final = load("restore_deliveries", number)


def restore_deliveries(keys: PartitionKeys, deliveries: Sequence[str]) -> Call[int]:
    """Add those of the deliveries to their index that should be there. The result is how many were added."""
    return Call(
        RESTORE_DELIVERIES,
        (keys.webhooks_due, keys.webhooks_dead, *map(keys.webhook, deliveries)),
        deliveries,
        int,
    )
