"""Due deliveries: those of a partition whose task is to be sent now."""

from typing import Final

from relay_redis.replies import Reply, texts
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

DUE_DELIVERIES: Final = load("due_deliveries", texts)


def due_deliveries(keys: PartitionKeys, *, limit: int, resend_ms: int, keep_dead_ms: int) -> Call[list[str]]:
    """Find deliveries that are due, with no task sent for ``resend_ms``; remove old dead letters."""
    return Call(
        DUE_DELIVERIES,
        (keys.webhooks_due, keys.webhooks_sent, keys.webhooks_dead),
        (limit, resend_ms, keep_dead_ms, keys.webhook("")),
        _read,
    )


def _read(reply: Reply) -> list[str]:
    return [name.decode() for name in reply]
