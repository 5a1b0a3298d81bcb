"""Examine: what the reaper has to know of a conversation."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

_REST = (int, int, int, bytes)
EXAMINE: Final = load(
    "examine",
    word(none=_REST, orphan=_REST, open=_REST, closing=_REST, ended=_REST),
    after=("idleness",),
)


class Examination(NamedTuple):
    """What is known of a conversation."""

    state: str
    """The record's; ``orphan``: there are streams and no record; ``none``: nothing to reap."""
    idle_ms: int
    """Without viewers and traffic; in the state ``closing``, since the end was requested."""
    unowned_ms: int
    """Without an owner; -1 with one."""
    leases: int
    """How many leases without an expiry were deleted."""
    reason: str
    """Of the end that was requested; empty without such a request."""


def examine(keys: ConversationKeys) -> Call[Examination]:
    """Read a conversation, and delete its lease if that has no expiry: such a lease does not count."""
    return Call(EXAMINE, (keys.meta, keys.lease, keys.up, keys.down, keys.orphans), (keys.id,), _read)


def _read(reply: Reply) -> Examination:
    state, idle_ms, unowned_ms, leases, reason = reply
    return Examination(state.decode(), idle_ms, unowned_ms, leases, reason.decode(errors="replace"))
