"""Types of keys: the type of each key of the relay, by its name.

A key of another type was written by another program. The client deletes it, and the caller that finds the
key missing restores it or continues without it, as after any other loss.
"""

_BY_LAST = {
    b"down": b"stream", b"up": b"stream", b"unowned": b"stream", b"meta": b"hash", b"leases": b"zset",
    b"lease": b"string", b"upkeep": b"string",
}  # fmt: skip
_BY_LAST_BUT_ONE = {b"made": b"set", b"heartbeat": b"hash"}


def type_of(key: str | bytes) -> bytes | None:
    """The type of a key, by its name; None for a key that is not the relay's, or that it does not replace."""
    words = (key.encode() if isinstance(key, str) else key).split(b":")
    if len(words) < 3:  # the prefix, the partition and the name
        return None
    return _BY_LAST_BUT_ONE.get(words[-2]) or _BY_LAST.get(words[-1])
