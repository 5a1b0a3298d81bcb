"""Reap: names of processes that have gone are removed from a stream's consumer group."""

from typing import Final

from relay_redis.replies import number
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

REAP: Final = load("reap", number)


def reap(stream: str, *, group: str, leaving: str, idle_ms: int) -> Call[int]:
    """Remove consumers without pending entries that are ``leaving``, or idle for longer than ``idle_ms``.

    The result is how many were removed.
    """
    return Call(REAP, (stream,), (group, leaving, idle_ms), int)
