"""Leases: who owns a conversation, the queue of conversations without an owner, and take-over.

A worker owns a conversation while it renews its lease. When it stops, the lease expires, a scan of any
worker returns the conversation to the queue, and one worker claims it with a greater generation. From
that moment Redis refuses every write of the old owner.
"""

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from relay_redis.client import RedisClient, Reply
from relay_redis.errors import StoreError
from relay_streams.conversations import RECORD_FORMAT, Conversation, fields_of
from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import ConversationKeys, KeySpace, PartitionKeys
from relay_streams.scripts.call import run
from relay_streams.scripts.claim import claim
from relay_streams.scripts.defer import defer
from relay_streams.scripts.dequeue import dequeue
from relay_streams.scripts.expire import Queue, expire
from relay_streams.scripts.finish import finish
from relay_streams.scripts.reap import reap
from relay_streams.scripts.release import release
from relay_streams.scripts.renew import Held, Unrenewed, renew
from relay_streams.scripts.repair import repair
from relay_streams.scripts.report_load import Load, report_load
from relay_streams.scripts.restore import restore
from relay_turns.phase import InputState

__all__ = ["Assignment", "Lease", "Leases", "Load", "Queue", "Renewal", "UplinkProgress", "submit_restore"]

_MAX_DEFER_MS = 60_000
_SCANNED_AT_ONCE = 500
_SCAN_PAUSE_S = 0.02
"""Between two SCAN commands, so that a repair delays no other command."""


class Assignment(NamedTuple):
    """A conversation without an owner, handed to this worker by the queue."""

    queue: str
    """The queue's key."""
    entry: str
    conversation: str


class Lease(NamedTuple):
    """A new ownership, with the record it begins from."""

    keys: ConversationKeys
    generation: int
    value: str
    """The value of the lease's key."""
    conversation: Conversation
    lease_ms: int
    replaced: Mapping[bytes, bytes] = MappingProxyType({})
    """Replacements of the record's fields that cannot be read; with any, the conversation must end."""
    renewed_ms: int = 0
    """When the former owner renewed its lease last, as a wall time, if its leases were as long; 0: there was
    none."""


class UplinkProgress(NamedTuple):
    """What an owner has read of the uplink: a Redis that has lost data is brought to at least this."""

    cursor: str
    """The last entry."""
    turn: int
    """The last turn with speech."""
    offset: int
    """Bytes of that turn."""
    state: InputState
    """Whether more of it is to come."""
    key: str
    """The key it was opened with."""
    trace: str = ""
    """The trace context it was opened with, as ``Context.encode``."""


class Renewal(NamedTuple):
    """The leases that were not renewed."""

    lost: list[str]
    """Conversations that another worker owns."""
    gone: list[str]
    """Conversations whose record, or our claim in it, Redis has lost."""
    failures: list[StoreError]
    """Errors of partitions that could not be renewed."""


class Leases:
    """The leases of one worker. Each method is one atomic script per partition.

    All methods but ``renew`` raise ``Unavailable`` when Redis cannot run them now; each is safe to repeat.

    Args:
        client: Runs the scripts.
        keys: The key space.
        owner: This worker's name; unique among living workers.
        lease_ms: How long a claim holds without renewal.
        reclaim_ms: How long an assignment may be pending at another worker before this one may have it.
        accepted: The kinds of viewers' messages that each agent of this worker accepts, by the agent's name:
            as ``Conversation.accepts``. Empty: it runs none.
    """

    def __init__(
        self,
        client: RedisClient,
        keys: KeySpace,
        *,
        owner: str,
        lease_ms: int = 2000,
        reclaim_ms: int = 2000,
        accepted: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._client = client
        self._keys = keys
        self.owner = owner
        self.lease_ms = lease_ms
        self._reclaim_ms = reclaim_ms
        self._accepted = accepted

    async def dequeue(self, partition: PartitionKeys, limit: int) -> list[Assignment]:
        """Read up to ``limit`` assignments of a partition. One that is not acknowledged is assigned again."""
        call = dequeue(partition, consumer=self.owner, limit=limit, reclaim_ms=self._reclaim_ms)
        return [Assignment(partition.unowned, *assigned) for assigned in await run(self._client, call)]

    async def claim(self, assignment: Assignment) -> Lease | None:
        """Become the owner of an assigned conversation and acknowledge the assignment.

        Returns:
            The lease, or None when there is nothing to own: the conversation has ended, is unknown or has an
            owner. ``Lease.replaced`` names what is damaged in its record.

        Raises:
            Unreadable: A later version of the relay wrote the record. The assignment stays pending.
        """
        keys = self._keys.conversation(assignment.conversation)
        if keys.unowned != assignment.queue:
            # No script can touch both partitions: another partition count wrote this entry.
            await self._client.execute("XACK", assignment.queue, CONSUMER_GROUP, assignment.entry)
            return None
        claimed = await run(
            self._client,
            claim(
                keys,
                owner=self.owner,
                lease_ms=self.lease_ms,
                record_format=RECORD_FORMAT,
                accepted=self._accepted,
                entry=assignment.entry,
            ),
        )
        if claimed is None:
            return None
        record, replaced = Conversation.salvage(keys.id, claimed.fields, last_position=claimed.last_entry)
        renewed_ms = max(claimed.leased_until_ms - self.lease_ms, 0)
        return Lease(keys, claimed.generation, claimed.lease, record, self.lease_ms, replaced, renewed_ms)

    async def defer(self, assignment: Assignment) -> float:
        """Return an assigned conversation to the queue after a delay, twice as long each time.

        Returns:
            The delay in seconds.
        """
        call = defer(
            self._keys.conversation(assignment.conversation),
            entry=assignment.entry,
            first_wait_ms=self._reclaim_ms,
            max_wait_ms=_MAX_DEFER_MS,
        )
        return await run(self._client, call) / 1000

    async def renew(self, leases: Iterable[Lease]) -> Renewal:
        """Renew leases, one call per partition, concurrently: one that fails delays no other.

        Raises nothing: the result has the leases that were not renewed, and the errors.
        """
        by_partition: dict[int, list[Lease]] = {}
        for lease in leases:
            by_partition.setdefault(lease.keys.partition, []).append(lease)
        renewal = Renewal([], [], [])
        outcomes = await asyncio.gather(*map(self._renew, by_partition.values()), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, StoreError):
                renewal.failures.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                renewal.lost.extend(outcome.lost)
                renewal.gone.extend(outcome.gone)
        return renewal

    async def _renew(self, leases: list[Lease]) -> Unrenewed:
        held = [Held(lease.keys, lease.value, lease.generation) for lease in leases]
        return await run(self._client, renew(held, lease_ms=self.lease_ms))

    async def release(self, lease: Lease) -> bool:
        """Return a conversation to the queue at once; False when the lease was lost already."""
        return await run(self._client, release(lease.keys, lease=lease.value))

    async def finish(self, lease: Lease, *, keep_frames_ms: int, keep_record_ms: int) -> bool:
        """End a conversation whose last frame is published; False when the lease was lost already."""
        call = finish(
            lease.keys,
            creator=lease.conversation.creator,
            lease=lease.value,
            keep_frames_ms=keep_frames_ms,
            keep_record_ms=keep_record_ms,
            replaced={**lease.replaced, **await self._damage(lease)},
        )
        return await run(self._client, call)

    async def _damage(self, lease: Lease) -> Mapping[bytes, bytes]:
        """The record's fields that cannot be read now, with their replacements: as ``Lease.replaced``."""
        fields = fields_of(await self._client.execute("HGETALL", lease.keys.meta))
        last_position = str(lease.conversation.last_position).encode()
        return Conversation.salvage(lease.keys.id, fields, last_position=last_position)[1] if fields else {}

    async def expire(self, partition: PartitionKeys, limit: int = 100) -> Queue:
        """Return up to ``limit`` conversations whose lease has expired to the queue."""
        return await run(self._client, expire(partition, limit=limit))

    async def report_load(self, *, active: int, owned: int, keep_ms: int) -> Load:
        """Store how many conversations this worker owns, for ``keep_ms``. Returns the sum of all workers."""
        call = report_load(
            self._keys.shared(0), worker=self.owner, active=active, owned=owned, keep_ms=keep_ms
        )
        return await run(self._client, call)

    async def begin_upkeep(self, partition: PartitionKeys, for_s: float) -> bool:
        """Become the worker that maintains a partition's indexes, for ``for_s``; False when another is."""
        key, wait_ms = partition.upkeep, max(1, int(for_s * 1000))
        reply = await self._client.execute("SET", key, self.owner, "NX", "PX", wait_ms, key=partition.unowned)
        if reply is None and await self._client.execute("PTTL", key, key=partition.unowned) < 0:
            # A key without expiry would block the upkeep forever.
            await self._client.execute("DEL", key, key=partition.unowned)
        return reply is not None

    async def repair(self, partition: PartitionKeys, lost_s: float) -> int:
        """Queue conversations that no index has and that have had no owner for ``lost_s``.

        Scans the keys of the partition's server in small steps. Returns how many were queued.
        """
        cursor, queued = b"0", 0
        while True:
            cursor, names = await self._client.execute(
                "SCAN",
                cursor,
                "MATCH",
                partition.meta_pattern,
                "COUNT",
                _SCANNED_AT_ONCE,
                key=partition.unowned,
            )
            for name in names:
                queued += await self._repair(name.decode(errors="replace"), lost_s)
            if cursor == b"0":
                return queued
            await asyncio.sleep(_SCAN_PAUSE_S)

    async def _repair(self, meta: str, lost_s: float) -> bool:
        keys = self._keys.conversation(meta.split(":c:", 1)[1].removesuffix(":meta"))
        if keys.meta != meta:
            return False
        creator = (await self._client.execute("HGET", keys.meta, "creator")) or b""
        call = repair(keys, creator=creator.decode(errors="replace"), lost_ms=int(lost_s * 1000))
        return await run(self._client, call)

    async def reap(self, partition: PartitionKeys, gone_s: float, *, leaving: bool = False) -> int:
        """Remove workers idle for ``gone_s`` from a queue's consumer group; ours too when ``leaving``.

        Returns how many. One with pending assignments stays until another worker has them.
        """
        own = self.owner if leaving else ""
        call = reap(partition.unowned, group=CONSUMER_GROUP, leaving=own, idle_ms=int(gone_s * 1000))
        return await run(self._client, call)


def submit_restore(
    client: RedisClient, lease: Lease, *, floor: int, events: int = 0, progress: UplinkProgress
) -> asyncio.Future[Reply]:
    """Queue the call that writes a living owner's ownership again, with everything but its frames.

    Args:
        client: Runs the script.
        lease: The ownership.
        floor: The seq before the oldest frame that the owner can write again.
        events: How many events the outbox has got with this ownership's frames up to it.
        progress: What it has read of the uplink.

    Returns:
        The future reply, for ``scripts.restore.read``.
    """
    record = lease.conversation
    call = restore(
        lease.keys,
        generation=lease.generation,
        lease=lease.value,
        lease_ms=lease.lease_ms,
        floor=floor,
        fields=record._replace(events=record.events + events).founding_fields(),
        **progress._asdict(),
    )
    return client.submit_script(call.script, call.keys, *call.arguments)
