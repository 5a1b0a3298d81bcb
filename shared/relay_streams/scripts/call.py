"""Calls: one call of a script, as a value, with the reading of its reply.

Each script has a module of its own name beside it with one function that builds its call, so the order of
KEYS and of ARGV and the shape of the reply stand there and nowhere else. The functions do no I/O; ``run``
does.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from relay_redis.client import RedisClient
from relay_redis.replies import Reply
from relay_redis.script import Script

Argument = str | bytes | int
T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """One call of a script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]
    read: Callable[[Reply], T]
    """Makes the result of a reply that the script's check accepts. May raise a ``StoreError``."""


async def run(client: RedisClient, call: Call[T]) -> T:
    """Run a script.

    Raises and cancels as ``RedisClient.run_script`` does; also raises what the call's ``read`` raises.
    """
    return call.read(await client.run_script(call.script, call.keys, *call.arguments))
