"""Heartbeat: a key is written and published, as a user with these permissions."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

HEARTBEAT: Final = load("heartbeat", word(ok=(bytes, int), denied=(bytes,)))


class Beat(NamedTuple):
    """A heartbeat that was written."""

    value: bytes
    receivers: int
    """Subscribers of its channel at that server."""


class Denied(NamedTuple):
    """Commands that the user has no permission for; nothing was written."""

    commands: str


def heartbeat(
    key: str, *, value: str, keep_ms: int, publish: bool, commands: Sequence[str]
) -> Call[Beat | Denied]:
    """Write a heartbeat, and with ``publish`` publish it, if the user may run these commands."""
    return Call(HEARTBEAT, (key,), (value, keep_ms, "1" if publish else "", *commands), _read)


def _read(reply: Reply) -> Beat | Denied:
    if reply[0] == b"denied":
        return Denied(reply[1].decode(errors="replace"))
    return Beat(reply[1], int(reply[2]))
