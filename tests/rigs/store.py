"""A store: a clean server, and the parts that write to it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.leases import Lease, Leases, UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.writer import Writer
from relay_wire import uplink
from relay_wire.frame import Codec

R = TypeVar("R")

_ids = itertools.count(1)
NO_PROGRESS = UplinkProgress("0-0", 0, 0, "ended", "")
"""No entry of the uplink is processed yet."""


@dataclass
class Store:
    """A clean store, and functions that fill it."""

    url: str
    client: RedisClient
    keys: KeySpace = field(default_factory=KeySpace)
    lost: list[StoreError] = field(default_factory=list)

    async def create(
        self, *, sample_rate: int = 16000, outbox_entries: int = 0, **fields: Any
    ) -> ConversationKeys:
        """A new conversation without an owner."""
        keys = self.keys.conversation(f"01JDTEST{next(_ids):018d}")
        record = Conversation(keys.id, "open", "ava", sample_rate, Codec.PCM_S16LE, created_ms=1, **fields)
        created = await conversations.create(self.client, keys, record, outbox_entries=outbox_entries)
        assert created
        return keys

    def registry(self, owner: str = "worker", **options: Any) -> Leases:
        """The leases of one worker."""
        return Leases(self.client, self.keys, owner=owner, **options)

    async def claim(self, keys: ConversationKeys, owner: str = "worker", **options: Any) -> Lease:
        """Own a conversation."""
        registry = self.registry(owner, **options)
        assignments = await registry.dequeue(self.keys.shared(keys.partition), 10)
        for assignment in assignments:
            lease = await registry.claim(assignment)
            if lease is not None and assignment.conversation == keys.id:
                return lease
        raise AssertionError(f"{keys.id} is not in the queue: {assignments}")

    def writer(self, publisher: Publisher, lease: Lease, progress: UplinkProgress = NO_PROGRESS) -> Writer:
        """Write to it; losses go to ``lost``."""
        return publisher.open(lease, progress=lambda: progress, on_lost=self.lost.append)

    async def entries(self, stream: str) -> list[tuple[str, dict[bytes, bytes]]]:
        """A stream's content."""
        reply = await self.client.execute("XRANGE", stream, "-", "+")
        return [(entry.decode(), conversations.fields_of(fields)) for entry, fields in reply]

    async def uplink(self, keys: ConversationKeys) -> list[uplink.Entry]:
        """The entries of a conversation's uplink."""
        return [uplink.decode(fields) for _, fields in await self.entries(keys.up)]

    async def snapshot(self, keys: ConversationKeys) -> Callable[[], Awaitable[None]]:
        """The data of a replica that receives no more from now on; call the result to fail over to it."""
        names = (keys.meta, keys.lease, keys.down, keys.up, keys.outbox)
        dumps = {name: await self.client.execute("DUMP", name) for name in names}

        async def go_back() -> None:
            restores = [("RESTORE", name, 0, dump) for name, dump in dumps.items() if dump is not None]
            commands = [("MULTI",), ("DEL", *names), *restores, ("EXEC",)]
            # At once: whoever waits for one of them would write what is restored next.
            await asyncio.gather(*(self.client.submit(command, key=names[0]) for command in commands))

        return go_back

    async def cut(self, name: str) -> None:
        """Break the connections whose name begins so."""
        clients = (await self.client.execute("CLIENT", "LIST")).decode().splitlines()
        for line in clients:
            facts = dict(fact.split("=", 1) for fact in line.split())
            if facts["name"].startswith(f"relay-{name}"):
                await self.client.execute("CLIENT", "KILL", "ID", facts["id"])


def at_clean_store(
    open_store: Callable[[], AbstractAsyncContextManager[Store]],
    open_rig: Callable[..., AbstractAsyncContextManager[R]],
    **defaults: Any,
) -> Callable[..., AbstractAsyncContextManager[R]]:
    """A function that opens a rig at a clean store, with these options and the caller's."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[R]:
        async with open_store() as store, open_rig(store, **defaults | options) as rig:
            yield rig

    return opened
