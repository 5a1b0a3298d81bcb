"""Read the outbox: a consumer reads what has happened in a partition's conversations."""

from typing import Final

from relay_redis.replies import Reply, entries
from relay_streams.key_kinds import JOBS_GROUP
from relay_streams.keys import PartitionKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

READ_OUTBOX: Final = load("read_outbox", entries)


def read_outbox(
    keys: PartitionKeys, *, consumer: str, limit: int, reclaim_ms: int
) -> Call[list[tuple[str, dict[bytes, bytes]]]]:
    """Read up to ``limit`` entries: those pending for ``reclaim_ms`` first, then new ones.

    The result is a list of entry id and fields.
    """
    return Call(READ_OUTBOX, (keys.outbox,), (JOBS_GROUP, consumer, limit, reclaim_ms), _read)


def _read(reply: Reply) -> list[tuple[str, dict[bytes, bytes]]]:
    return [(entry.decode(), dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in reply]
