"""Ownership: leases, the queue of conversations that need an owner, and take-over.

A worker owns a conversation while it renews its lease. When it stops, the lease runs out, any
worker's sweep puts the conversation up, and one of them claims it with a larger generation. From
that moment on the store refuses whatever the old owner still writes.
"""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from relay_redis.client import RedisClient, Reply
from relay_redis.errors import StoreError
from relay_streams import scripts
from relay_streams.conversations import RECORD_FORMAT, Conversation, fields_of
from relay_streams.errors import Unreadable
from relay_streams.keys import CONSUMER_GROUP, ConversationKeys, KeySpace, PartitionKeys
from relay_turns.phase import InputState

_MAX_DEFER_MS = 60_000
_SCANNED_AT_ONCE = 500
_SCAN_PAUSE_S = 0.02
"""Between steps through the keys, so that looking for what is lost delays nobody."""


class Assignment(NamedTuple):
    """A conversation that needs an owner, as the queue handed it to this worker."""

    queue: str
    """The queue's key."""
    entry: str
    conversation: str


class Lease(NamedTuple):
    """A term just claimed, with the record it begins from."""

    keys: ConversationKeys
    generation: int
    value: str
    conversation: Conversation
    lease_ms: int
    replaced: Mapping[bytes, bytes] = MappingProxyType({})
    """By field of the record that cannot be read, the value that stands in for it: it is to be ended."""


class Queue(NamedTuple):
    """What waits in a partition's queue."""

    put_up: int
    """Conversations that were put up now, since their lease ran out."""
    waiting: int
    """Conversations that wait for an owner."""
    oldest_s: float
    """How long the first of them has waited."""


class UplinkProgress(NamedTuple):
    """What an owner has taken from the up stream: a store that loses data must not fall behind it."""

    cursor: str
    """The last entry read."""
    turn: int
    """The last turn whose speech was taken."""
    offset: int
    """Bytes of it."""
    state: InputState
    """Whether more of it is to come."""
    key: str
    """What it was opened with."""


class Renewal(NamedTuple):
    """What became of leases that were not renewed."""

    lost: list[str]
    """Conversations that another worker owns."""
    gone: list[str]
    """Conversations whose record, or our claim in it, the store has lost."""
    failures: list[StoreError]
    """Why partitions could not be renewed now."""


class Leases:
    """One worker's dealings in ownership. Every method is one atomic script per partition.

    All methods but ``renew`` raise ``Unavailable`` when Redis cannot take them now; repeating any is safe.

    Args:
        client: Where to run the scripts.
        keys: The key space.
        owner: This worker's name; unique among living workers.
        lease_ms: How long a claim holds without renewal.
        reclaim_ms: After how long an offer another worker took and did not settle is taken from it.
    """

    def __init__(
        self, client: RedisClient, keys: KeySpace, *, owner: str, lease_ms: int = 2000, reclaim_ms: int = 2000
    ) -> None:
        self._client = client
        self._keys = keys
        self.owner = owner
        self.lease_ms = lease_ms
        self._reclaim_ms = reclaim_ms

    async def take(self, partition: PartitionKeys, room: int) -> list[Assignment]:
        """Take up to ``room`` conversations from a partition's queue. An unsettled offer comes back."""
        flat = await self._client.run_script(
            scripts.TAKE, (partition.unowned,), CONSUMER_GROUP, self.owner, room, self._reclaim_ms
        )
        return [
            Assignment(partition.unowned, entry.decode(), conversation.decode(errors="replace"))
            for entry, conversation in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def claim(self, offer: Assignment) -> Lease | None:
        """Become the owner of an offered conversation and settle the offer.

        Returns:
            The new term, or None when there is nothing to own: it ended, is unknown, or is held. When the
            record is damaged, ``Lease.replaced`` says so.

        Raises:
            Unreadable: A later version of the relay wrote the record. The offer stands.
        """
        keys = self._keys.conversation(offer.conversation)
        if keys.unowned != offer.queue:
            # No script can touch both; whoever put it there has another idea of the partitions.
            await self._client.execute("XACK", offer.queue, CONSUMER_GROUP, offer.entry)
            return None
        reply = await self._client.run_script(
            scripts.CLAIM,
            (keys.meta, keys.lease, keys.leases, keys.down, keys.unowned),
            keys.id,
            self.owner,
            self.lease_ms,
            CONSUMER_GROUP,
            offer.entry,
            RECORD_FORMAT,
        )
        if reply[0] == b"later":
            raise Unreadable(keys.id)
        if reply[0] != b"ok":
            return None
        record, replaced = Conversation.salvage(keys.id, fields_of(reply[4:]), tail=reply[3])
        return Lease(keys, int(reply[1]), reply[2].decode(), record, self.lease_ms, replaced)

    async def defer(self, offer: Assignment) -> float:
        """Put off a conversation that cannot be owned here now, each time for twice as long.

        Returns:
            In how many seconds it is offered again.
        """
        keys = self._keys.conversation(offer.conversation)
        names = (keys.meta, keys.leases, keys.unowned)
        limits = (self._reclaim_ms, _MAX_DEFER_MS)
        wait_ms = await self._client.run_script(
            scripts.DEFER, names, keys.id, *limits, CONSUMER_GROUP, offer.entry
        )
        return float(wait_ms) / 1000

    async def renew(self, leases: Iterable[Lease]) -> Renewal:
        """Renew leases, one call per partition, all at once: one that fails delays no other.

        Returns the ids of those that were not renewed, and what failed; it raises nothing.
        """
        by_partition: dict[int, list[Lease]] = {}
        for lease in leases:
            by_partition.setdefault(lease.keys.partition, []).append(lease)
        renewal = Renewal([], [], [])
        replies = await asyncio.gather(*map(self._renew, by_partition.values()), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, StoreError):
                renewal.failures.append(reply)
            elif isinstance(reply, BaseException):
                raise reply
            else:
                renewal.lost.extend(name.decode() for name in reply[0])
                renewal.gone.extend(name.decode() for name in reply[1])
        return renewal

    async def _renew(self, held: list[Lease]) -> Reply:
        names = [held[0].keys.leases]
        arguments: list[str | int] = [self.lease_ms]
        for lease in held:
            names += (lease.keys.lease, lease.keys.meta)
            arguments += (lease.keys.id, lease.value, lease.generation)
        return await self._client.run_script(scripts.RENEW, names, *arguments)

    async def release(self, lease: Lease) -> bool:
        """Give a conversation up for another owner to take at once; False when it was lost already."""
        keys = lease.keys
        names = (keys.lease, keys.leases, keys.unowned)
        return bool(await self._client.run_script(scripts.RELEASE, names, keys.id, lease.value))

    async def finish(self, lease: Lease, *, keep_frames_ms: int, keep_record_ms: int) -> bool:
        """End a conversation whose last frame is published; False when it was lost already."""
        keys = lease.keys
        made = keys.made(lease.conversation.creator)
        names = (keys.meta, keys.lease, keys.leases, keys.down, keys.up, made)
        replaced = {**lease.replaced, **await self._damage(lease)}
        return bool(
            await self._client.run_script(
                scripts.FINISH,
                names,
                keys.id,
                lease.value,
                keep_frames_ms,
                keep_record_ms,
                *chain.from_iterable(replaced.items()),
            )
        )

    async def _damage(self, lease: Lease) -> Mapping[bytes, bytes]:
        """What cannot be read of the record now, and what stands in for it: as ``Lease.replaced``."""
        fields = fields_of(await self._client.execute("HGETALL", lease.keys.meta))
        tail = str(lease.conversation.tail).encode()
        return Conversation.salvage(lease.keys.id, fields, tail=tail)[1] if fields else {}

    async def expire(self, partition: PartitionKeys, limit: int = 100) -> Queue:
        """Put up to ``limit`` conversations whose lease ran out up for a new owner."""
        names = (partition.leases, partition.unowned)
        put_up, waiting, oldest_ms = await self._client.run_script(
            scripts.EXPIRE, names, limit, CONSUMER_GROUP
        )
        return Queue(put_up, waiting, oldest_ms / 1000)

    async def begin_upkeep(self, partition: PartitionKeys, for_s: float) -> bool:
        """Become the worker that looks after a partition's indexes, for so long; False when another is."""
        key, wait_ms = partition.upkeep, max(1, int(for_s * 1000))
        reply = await self._client.execute("SET", key, self.owner, "NX", "PX", wait_ms, key=partition.unowned)
        if reply is None and await self._client.execute("PTTL", key, key=partition.unowned) < 0:
            await self._client.execute("DEL", key, key=partition.unowned)  # Nobody's: it would stay for ever.
        return reply is not None

    async def repair(self, partition: PartitionKeys, lost_s: float) -> int:
        """Put conversations up that no index knows and that have been without an owner for so long.

        It goes through the keys of the partition's server in small steps. Returns how many were put up.
        """
        cursor, put_up = b"0", 0
        while True:
            cursor, names = await self._client.execute(
                "SCAN", cursor, "MATCH", partition.metas, "COUNT", _SCANNED_AT_ONCE, key=partition.unowned
            )
            for name in names:
                put_up += await self._repair(name.decode(errors="replace"), lost_s)
            if cursor == b"0":
                return put_up
            await asyncio.sleep(_SCAN_PAUSE_S)

    async def _repair(self, meta: str, lost_s: float) -> int:
        keys = self._keys.conversation(meta.split(":c:", 1)[1].removesuffix(":meta"))
        if keys.meta != meta:
            return 0
        creator = await self._client.execute("HGET", keys.meta, "creator")
        made = keys.made((creator or b"").decode(errors="replace"))
        names = (keys.meta, keys.lease, keys.leases, keys.unowned, made)
        return int(await self._client.run_script(scripts.REPAIR, names, keys.id, int(lost_s * 1000)))

    async def reap(self, partition: PartitionKeys, gone_s: float, *, leaving: bool = False) -> int:
        """Remove names of workers from a queue that gave no sign for so long; ours, too, when leaving.

        Returns how many. One that has offers stays until they are another's.
        """
        own = self.owner if leaving else ""
        return int(
            await self._client.run_script(
                scripts.REAP, (partition.unowned,), CONSUMER_GROUP, own, int(gone_s * 1000)
            )
        )


def submit_restore(
    client: RedisClient, lease: Lease, *, floor: int, heard: UplinkProgress
) -> asyncio.Future[Reply]:
    """Ask the store to take up a living owner's term again, with everything but its frames.

    Args:
        client: Where to ask.
        lease: The term.
        floor: The frame before the oldest that the owner can write again.
        heard: What it has taken from the up stream.

    Returns:
        ``[b"ok", seq]``: the owner writes again what comes after it; or ``[b"fenced", generation]``.
    """
    keys = lease.keys
    return client.submit_script(
        scripts.RESTORE,
        (keys.meta, keys.lease, keys.leases, keys.down, keys.up),
        keys.id,
        lease.generation,
        lease.value,
        lease.lease_ms,
        floor,
        heard.cursor,
        heard.turn,
        heard.offset,
        heard.state,
        heard.key,
        *lease.conversation.founding_fields(),
    )
