"""Reaping: finds and removes what nobody uses any more, in bounded steps that are safe beside live traffic.

Each removal is one script call that checks again what it removes. What looks unused may come back: an owner
writes a lost record again, a viewer connects.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from relay_redis.client import RedisClient
from relay_streams.key_kinds import JOBS_GROUP
from relay_streams.keys import KeySpace, PartitionKeys
from relay_streams.scripts.begin_reaping import begin_reaping
from relay_streams.scripts.call import run
from relay_streams.scripts.prune_made import prune_made
from relay_streams.scripts.reap import reap

EXPIRED = "expired"
"""The reason of the end of a conversation that nobody has used for long."""

_SCANNED_AT_ONCE = 500
_END = b"0"
"""The cursor of SCAN at which it is complete."""


class Found(NamedTuple):
    """What one step of a scan has found."""

    conversations: Sequence[str]
    """Ids; each once per step."""
    creators: Sequence[tuple[PartitionKeys, str]]
    """Indexes of creators' conversations."""
    deliveries: Sequence[tuple[PartitionKeys, Sequence[str]]]
    """Webhooks, by partition; each once per step."""
    keys: int
    """How many keys of the relay the step looked at."""


class Scan:
    """The scan of one server's keys, continued where the last one stopped.

    Args:
        client: Of the relay's Redis.
        space: The key space.
        anchor: A partition of that server; its ``reaper`` key has the cursor.
    """

    def __init__(self, client: RedisClient, space: KeySpace, anchor: PartitionKeys) -> None:
        self._client = client
        self._space = space
        self._anchor = anchor
        self._cursor = _END

    async def begin(self, for_s: float) -> bool:
        """Become the one who scans this server, for ``for_s``; False while another process does."""
        cursor = await run(self._client, begin_reaping(self._anchor, for_ms=max(1, int(for_s * 1000))))
        if cursor is not None:
            self._cursor = cursor
        return cursor is not None

    async def steps(self, limit: int) -> AsyncIterator[Found]:
        """Look at about ``limit`` keys, step by step; the cursor is stored after each step.

        Raises:
            Unavailable: Redis cannot be read now.
        """
        seen = 0
        while seen < limit:
            self._cursor, names = await self._client.execute(
                "SCAN", self._cursor, "MATCH", f"{self._space.prefix}:{{p*", "COUNT", _SCANNED_AT_ONCE,
                key=self._anchor.unowned,
            )  # fmt: skip
            seen += _SCANNED_AT_ONCE
            yield self._found([name.decode(errors="replace") for name in names])
            await self._client.execute("HSET", self._anchor.reaper, "cursor", self._cursor)
            if self._cursor == _END:
                return

    async def end(self) -> None:
        """Let others scan this server.

        Raises:
            Unavailable: Redis cannot run it now; others may scan after the time given to ``begin``.
        """
        await self._client.execute("HSET", self._anchor.reaper, "until", 0)

    def _found(self, names: Sequence[str]) -> Found:
        conversations: dict[str, None] = {}
        creators: list[tuple[PartitionKeys, str]] = []
        deliveries: dict[PartitionKeys, dict[str, None]] = {}
        for name in names:
            tagged, _, rest = name.partition("}:")
            kind, _, subject = rest.partition(":")
            if kind == "c":
                conversation = subject.rpartition(":")[0]
                # A key of another number of partitions is nobody's here.
                if self._space.conversation(conversation).tagged_prefix == f"{tagged}}}":
                    conversations[conversation] = None
            elif kind in ("made", "webhook") and (partition := self._partition(tagged)):
                if kind == "made":
                    creators.append((partition, subject))
                else:
                    deliveries.setdefault(partition, {})[subject] = None
        webhooks = [(partition, list(found)) for partition, found in deliveries.items()]
        return Found(list(conversations), creators, webhooks, len(names))

    def _partition(self, tagged: str) -> PartitionKeys | None:
        """The partition of a key's hash tag; None when there is no such partition here."""
        number = tagged.rpartition("{p")[2]
        if number.isdigit() and int(number) < self._space.partitions:
            return self._space.shared(int(number))
        return None


def scans(client: RedisClient, space: KeySpace) -> list[Scan]:
    """A scan for each server that has any of the relay's keys."""
    shared = {keys.unowned: keys for keys in map(space.shared, range(space.partitions))}
    return [Scan(client, space, shared[name]) for name in client.one_per_server(list(shared))]


async def prune_creator(client: RedisClient, space: KeySpace, partition: PartitionKeys, creator: str) -> int:
    """Remove conversations that have ended, or that Redis has lost, from the index of their creator.

    Returns how many were removed.

    Raises:
        Unavailable: Redis cannot run it now.
    """
    made, cursor, removed = partition.made(creator), _END, 0
    while True:
        cursor, members = await client.execute("SSCAN", made, cursor, "COUNT", _SCANNED_AT_ONCE)
        keys = [space.conversation(member.decode(errors="replace")) for member in members]
        here = [one for one in keys if one.tagged_prefix == partition.tagged_prefix]
        if here:
            removed += await run(client, prune_made(made, here))
        if cursor == _END:
            return removed


async def remove_dispatchers(client: RedisClient, partition: PartitionKeys, gone_s: float) -> int:
    """Remove dispatchers silent for ``gone_s`` from the outbox's group, unless entries are pending there.

    Returns how many were removed.

    Raises:
        Unavailable: Redis cannot run it now.
    """
    call = reap(partition.outbox, group=JOBS_GROUP, leaving="", idle_ms=int(gone_s * 1000))
    return await run(client, call)
