"""Begin an attempt of a delivery: its number is issued once, and the delivery is claimed for a time."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

BEGIN_DELIVERY: Final = load("begin_delivery", word("later", "settled", begun=(int, int, int, bytes, bytes)))


class Begun(NamedTuple):
    """An attempt that this caller, and no other, may make."""

    number: int
    """From 1; no two attempts of a delivery have the same."""
    spent: int
    """The number of the last attempt before a retry by hand; 0: there was none."""
    age_ms: int
    """Since the first attempt, or the retry by hand."""
    facts: bytes
    body: bytes


def begin_delivery(keys: PartitionKeys, delivery: str, *, claim_ms: int) -> Call[Begun | None]:
    """Begin an attempt. The result is None when the delivery is claimed, not due, settled or unknown."""
    return Call(
        BEGIN_DELIVERY,
        (keys.webhook(delivery), keys.webhooks_due, keys.webhooks_sent),
        (delivery, claim_ms),
        _read,
    )


def _read(reply: Reply) -> Begun | None:
    return Begun(*reply[1:]) if reply[0] == b"begun" else None
