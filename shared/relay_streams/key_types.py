"""Types of keys: what each key of the relay holds, by its name, and which keys a command touches.

A key of another type was written by somebody else. It is a loss like any other, and is made good like one:
the key is removed, and who finds it missing restores it, or does without.
"""

from collections.abc import Sequence

from relay_redis.replies import Command

_BY_LAST = {
    b"down": b"stream", b"up": b"stream", b"unowned": b"stream", b"meta": b"hash", b"leases": b"zset",
    b"lease": b"string", b"upkeep": b"string",
}  # fmt: skip
_BY_LAST_BUT_ONE = {b"made": b"set", b"heartbeat": b"hash"}


def type_of(key: str | bytes) -> bytes | None:
    """The type of a key, by its name; None where the relay has no such key, or does not replace it."""
    words = (key.encode() if isinstance(key, str) else key).split(b":")
    if len(words) < 3:  # the prefix, the partition and the name
        return None
    return _BY_LAST_BUT_ONE.get(words[-2]) or _BY_LAST.get(words[-1])


def purge_of(command: Command) -> tuple[list[str | bytes], list[bytes]]:
    """The keys that a command touches and that may be removed, and the type of each."""
    keys: list[str | bytes] = []
    types: list[bytes] = []
    for key in _keys_of(command):
        if isinstance(key, str | bytes) and (its_type := type_of(key)):
            keys.append(key)
            types.append(its_type)
    return keys, types


def _keys_of(command: Command) -> Sequence[str | bytes | int]:
    match command[0]:
        case "EVALSHA" | "EVAL":
            return command[3 : 3 + int(command[2])]
        case "XREAD":
            after = command.index("STREAMS") + 1
            return command[after : after + (len(command) - after) // 2]
        case _:
            return command[1:2]
