"""Begin reaping: one process of all scans the keys of a server, and continues where the last one stopped."""

from typing import Final

from relay_redis.replies import Reply, text
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

BEGIN_REAPING: Final = load("begin_reaping", text)


def begin_reaping(keys: PartitionKeys, *, for_ms: int) -> Call[bytes | None]:
    """Begin, unless another process scans. The result is the cursor of SCAN, or None then."""
    return Call(BEGIN_REAPING, (keys.reaper,), (for_ms,), _read)


def _read(reply: Reply) -> bytes | None:
    return reply if reply is None or reply.isdigit() else b"0"
