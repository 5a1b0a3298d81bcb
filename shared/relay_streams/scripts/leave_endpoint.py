"""Leave an endpoint: the slot is free, and the attempt's result decides whether the endpoint rests."""

from typing import Final, Literal

from relay_redis.replies import number
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

LEAVE_ENDPOINT: Final = load("leave_endpoint", number)

Finding = Literal["answer", "fault", "nothing"]
"""What an attempt has shown of its endpoint: that it answers; that it does not, or fails; or nothing."""


def leave_endpoint(
    keys: PartitionKeys,
    endpoint: str,
    slot: str,
    *,
    finding: Finding,
    tolerated: int,
    first_rest_ms: int,
    most_rest_ms: int,
) -> Call[int]:
    """Free a slot. The result is for how many ms no attempt begins at the endpoint.

    Args:
        keys: Of the endpoint's partition.
        endpoint: Its name.
        slot: The slot's name.
        finding: What the attempt has shown of the endpoint.
        tolerated: With how many faults in a row it rests.
        first_rest_ms: The first rest; doubled by each further failure.
        most_rest_ms: The longest rest.
    """
    return Call(
        LEAVE_ENDPOINT,
        (keys.webhook_slots(endpoint), keys.webhook_endpoint(endpoint)),
        (slot, finding, tolerated, first_rest_ms, most_rest_ms),
        int,
    )
