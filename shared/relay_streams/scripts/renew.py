"""Renew: an owner extends its leases of one partition."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay_redis.replies import Reply, two_lists
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

RENEW: Final = load("renew", two_lists)


class Held(NamedTuple):
    """A lease to renew."""

    keys: ConversationKeys
    value: str
    generation: int


class Unrenewed(NamedTuple):
    """Conversations whose lease was not renewed."""

    lost: list[str]
    """Those that another worker owns."""
    gone: list[str]
    """Those whose record, or our claim in it, Redis has lost."""


def renew(held: Sequence[Held], *, lease_ms: int) -> Call[Unrenewed]:
    """Renew leases; all of one partition, and at least one."""
    names = [held[0].keys.leases]
    arguments: list[Argument] = [lease_ms]
    for keys, value, generation in held:
        names += (keys.lease, keys.meta)
        arguments += (keys.id, value, generation)
    return Call(RENEW, names, arguments, _read)


def _read(reply: Reply) -> Unrenewed:
    lost, gone = reply
    return Unrenewed([name.decode() for name in lost], [name.decode() for name in gone])
