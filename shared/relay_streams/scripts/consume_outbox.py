"""Consume an entry of the outbox: it is removed, and what follows from it is written, in one step."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from relay_redis.replies import number
from relay_streams.key_kinds import JOBS_GROUP, type_of
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

CONSUME_OUTBOX: Final = load("consume_outbox", number)

WriteCommand = Literal["HSET", "HSETNX", "HINCRBY", "ZADD", "SADD", "PEXPIRE"]

_WRITABLE: Mapping[str, bytes | None] = MappingProxyType(
    {"HSET": b"hash", "HSETNX": b"hash", "HINCRBY": b"hash", "ZADD": b"zset", "SADD": b"set", "PEXPIRE": None}
)
"""By command, the type of its key; None: any."""
_INTEGERS: Mapping[str, int] = MappingProxyType({"HINCRBY": 1, "ZADD": 0, "PEXPIRE": 0})
"""By command, the argument that must be a whole number."""


class Write(NamedTuple):
    """One write that follows from an entry of the outbox."""

    command: WriteCommand
    key: str
    """A key of the entry's partition."""
    args: tuple[Argument, ...]
    """Behind the key. HSET: fields and values; HSETNX: a field and a value; HINCRBY: a field and a whole
    number; ZADD: whole scores and members; SADD: members; PEXPIRE: ms."""


def consume_outbox(keys: PartitionKeys, *, entry: str, writes: Sequence[Write]) -> Call[bool]:
    """Remove an entry, and write.

    The result is False when the entry is not pending: another call has consumed it, and nothing was written.

    Raises:
        ValueError: A write has a command that is not allowed, arguments that Redis would refuse, or a key
            that is not of the partition, of the relay or of the command's type.
    """
    arguments: list[Argument] = [JOBS_GROUP, entry]
    for write in writes:
        _check(keys, write)
        arguments += (write.command, len(write.args), *write.args)
    return Call(CONSUME_OUTBOX, (keys.outbox, *(write.key for write in writes)), arguments, bool)


def _check(keys: PartitionKeys, write: Write) -> None:
    command, key, args = write
    if command not in _WRITABLE:
        raise ValueError(f"an entry of the outbox may not cause {command}")
    if not key.startswith(f"{keys.tagged_prefix}:"):
        raise ValueError(f"a key of another partition: {key}")
    if (key_type := type_of(key)) is None or _WRITABLE[command] not in (key_type, None):
        raise ValueError(f"{command} cannot write to {key}")
    if not _is_complete(command, len(args)) or not _has_integers(command, args):
        raise ValueError(f"{command} has wrong arguments for {key}")


def _is_complete(command: WriteCommand, count: int) -> bool:
    match command:
        case "HSET" | "ZADD":
            return count > 0 and count % 2 == 0
        case "HSETNX" | "HINCRBY":
            return count == 2
        case "SADD":
            return count > 0
        case "PEXPIRE":
            return count == 1


def _has_integers(command: WriteCommand, args: Sequence[Argument]) -> bool:
    first = _INTEGERS.get(command)
    return first is None or all(isinstance(number, int) for number in args[first::2])
