"""Enter an endpoint: one attempt more at the same time, if it may have one."""

from typing import Final, Literal, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

ENTER_ENDPOINT: Final = load("enter_endpoint", word("entered", "busy", resting=(int,)))


class Entry(NamedTuple):
    """Whether an attempt may begin at an endpoint."""

    state: Literal["entered", "busy", "resting"]
    rest_ms: int = 0
    """For ``resting``: how much longer."""


def enter_endpoint(keys: PartitionKeys, endpoint: str, slot: str, *, most: int, hold_ms: int) -> Call[Entry]:
    """Take a slot of an endpoint, under a unique name, for ``hold_ms`` at most.

    The keys are those of the endpoint's partition.
    """
    return Call(
        ENTER_ENDPOINT,
        (keys.webhook_slots(endpoint), keys.webhook_endpoint(endpoint)),
        (slot, most, hold_ms),
        _read,
    )


def _read(reply: Reply) -> Entry:
    state: bytes = reply[0]
    if state == b"resting":
        return Entry("resting", reply[1])
    return Entry("entered" if state == b"entered" else "busy")
