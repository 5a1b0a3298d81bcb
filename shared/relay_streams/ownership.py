"""Ownership: leases, the queue of conversations that need an owner, and take-over.

A worker owns a conversation while it renews its lease. When it stops, the lease runs out, any
worker's sweep puts the conversation up, and one of them claims it with a larger generation. From
that moment on the store refuses whatever the old owner still writes.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from relay_streams import scripts
from relay_streams.conversations import Conversation, fields_of
from relay_streams.keys import CONSUMER_GROUP, ConversationKeys, KeySpace, PartitionKeys
from relay_streams.link import Link, Reply
from relay_wire.turns import InputState


class Offer(NamedTuple):
    """A conversation that needs an owner, as the queue handed it to this worker."""

    entry: str
    conversation: str


class Lease(NamedTuple):
    """A term just claimed, with the record it begins from."""

    keys: ConversationKeys
    generation: int
    value: str
    conversation: Conversation
    lease_ms: int


class Heard(NamedTuple):
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
    """What became of leases that could not be renewed."""

    lost: list[str]
    """Conversations that another worker owns."""
    gone: list[str]
    """Conversations whose record, or our claim in it, the store has lost."""


class Registry:
    """One worker's dealings in ownership. Every method is one atomic script per partition.

    All methods raise ``Unavailable`` when Redis cannot take them now; repeating any of them is safe.

    Args:
        link: Where to run the scripts.
        keys: The key space.
        owner: This worker's name; unique among living workers.
        lease_ms: How long a claim holds without renewal.
        reclaim_ms: After how long an offer another worker took and did not settle is taken from it.
    """

    def __init__(
        self, link: Link, keys: KeySpace, *, owner: str, lease_ms: int = 2000, reclaim_ms: int = 2000
    ) -> None:
        self._link = link
        self._keys = keys
        self.owner = owner
        self.lease_ms = lease_ms
        self._reclaim_ms = reclaim_ms

    async def take(self, partition: PartitionKeys, room: int) -> list[Offer]:
        """Take up to ``room`` conversations from a partition's queue. An unsettled offer comes back."""
        flat = await self._link.run_script(
            scripts.TAKE, (partition.unowned,), CONSUMER_GROUP, self.owner, room, self._reclaim_ms
        )
        return [
            Offer(entry.decode(), conversation.decode())
            for entry, conversation in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def claim(self, offer: Offer) -> Lease | None:
        """Become the owner of an offered conversation and settle the offer.

        Returns:
            The new term, or None when there is nothing to own: it ended, is unknown, or is held.
        """
        keys = self._keys.conversation(offer.conversation)
        reply = await self._link.run_script(
            scripts.CLAIM,
            (keys.meta, keys.lease, keys.leases, keys.down, keys.unowned),
            keys.id,
            self.owner,
            self.lease_ms,
            CONSUMER_GROUP,
            offer.entry,
        )
        if reply[0] != b"ok":
            return None
        record = Conversation.from_fields(keys.id, fields_of(reply[3:]))
        return Lease(keys, int(reply[1]), reply[2].decode(), record, self.lease_ms)

    async def renew(self, leases: Iterable[Lease]) -> Renewal:
        """Renew leases, one call per partition. Returns the ids of those that could not be renewed."""
        by_partition: dict[int, list[Lease]] = {}
        for lease in leases:
            by_partition.setdefault(lease.keys.partition, []).append(lease)
        renewal = Renewal([], [])
        for held in by_partition.values():
            names = [held[0].keys.leases]
            arguments: list[str | int] = [self.lease_ms]
            for lease in held:
                names += (lease.keys.lease, lease.keys.meta)
                arguments += (lease.keys.id, lease.value, lease.generation)
            reply = await self._link.run_script(scripts.RENEW, names, *arguments)
            for ids, names_of_those in zip(renewal, reply, strict=True):
                ids.extend(name.decode() for name in names_of_those)
        return renewal

    async def release(self, lease: Lease) -> bool:
        """Give a conversation up for another owner to take at once; False when it was lost already."""
        keys = lease.keys
        names = (keys.lease, keys.leases, keys.unowned)
        return bool(await self._link.run_script(scripts.RELEASE, names, keys.id, lease.value))

    async def finish(self, lease: Lease, *, keep_frames_ms: int, keep_record_ms: int) -> bool:
        """End a conversation whose last frame is published; False when it was lost already."""
        keys = lease.keys
        made = keys.made(lease.conversation.creator)
        names = (keys.meta, keys.lease, keys.leases, keys.down, keys.up, made)
        return bool(
            await self._link.run_script(
                scripts.FINISH, names, keys.id, lease.value, keep_frames_ms, keep_record_ms
            )
        )

    async def expire(self, partition: PartitionKeys, limit: int = 100) -> int:
        """Put up to ``limit`` conversations whose lease ran out up for a new owner. Returns how many."""
        names = (partition.leases, partition.unowned)
        return int(await self._link.run_script(scripts.EXPIRE, names, limit))


def submit_restore(link: Link, lease: Lease, *, floor: int, heard: Heard) -> asyncio.Future[Reply]:
    """Ask the store to take up a living owner's term again, with everything but its frames.

    Args:
        link: Where to ask.
        lease: The term.
        floor: The frame before the oldest that the owner can write again.
        heard: What it has taken from the up stream.

    Returns:
        ``[b"ok", seq]``: the owner writes again what comes after it; or ``[b"fenced", generation]``.
    """
    keys = lease.keys
    return link.submit_script(
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
