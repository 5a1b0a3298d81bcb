"""Claim: a worker becomes the owner of a conversation."""

from collections.abc import Mapping
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.errors import Unreadable
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

CLAIM: Final = load("claim", word("held", "ended", "missing", "later", ok=(bytes, bytes, bytes, bytes)))


class Claimed(NamedTuple):
    """A new ownership."""

    generation: int
    lease: str
    """The value of the lease's key."""
    last_entry: bytes
    """The last id of the down stream."""
    leased_until_ms: int
    """When the lease of the former owner was to expire, as a wall time; 0: there was none."""
    fields: Mapping[bytes, bytes]
    """The record."""


def claim(
    keys: ConversationKeys,
    *,
    owner: str,
    lease_ms: int,
    record_format: int,
    accepted: Mapping[str, str] = MappingProxyType({}),
    entry: str = "",
) -> Call[Claimed | None]:
    """Claim a conversation, and acknowledge the queue entry that assigned it.

    ``accepted`` has the kinds of messages that the owner's agents accept, by the agent's name. Without it the
    record's ``accepts`` stays as it is.

    The result is None when there is nothing to own: the conversation has ended, is unknown or has an owner.
    The call raises ``Unreadable`` when the record's format is greater than ``record_format``; the entry stays
    pending then.
    """
    return Call(
        CLAIM,
        (keys.meta, keys.lease, keys.leases, keys.down, keys.unowned),
        (keys.id, owner, lease_ms, CONSUMER_GROUP, entry, record_format, *chain(*accepted.items())),
        partial(_read, keys.id),
    )


def _read(conversation: str, reply: Reply) -> Claimed | None:
    if reply[0] == b"later":
        raise Unreadable(conversation)
    if reply[0] != b"ok":
        return None
    until = reply[4]
    return Claimed(
        int(reply[1]),
        reply[2].decode(),
        reply[3],
        int(until) if until.isdigit() and len(until) <= 15 else 0,
        dict(zip(reply[5::2], reply[6::2], strict=True)),
    )
