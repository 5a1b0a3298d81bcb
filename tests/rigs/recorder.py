"""A recorded conversation in a store, and the parts of its recording in storage."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.rigs.object_storage import Place
from tests.rigs.store import Store

from relay_jobs.recordings.copying import copy
from relay_jobs.recordings.joining import join
from relay_jobs.recordings.layout import Names
from relay_streams.leases import Lease
from relay_streams.publisher import Publisher
from relay_streams.recordings import Claim, Recordings
from relay_streams.writer import Writer
from relay_turns.effects import Publish
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.position import START
from relay_wire.recording.contents import Gap, Index
from relay_wire.recording.decoder import RecordingDecoder

AUDIO = bytes(range(200)) * 16
_LEASE_MS = 600_000
"""Longer than any test: nothing renews it."""


@dataclass
class Recorder:
    """A recorded conversation, published by owners of the test."""

    store: Store
    place: Place
    lease: Lease
    writer: Writer
    recordings: Recordings
    published: list[bytes] = field(default_factory=list)
    """Every frame, as the stream had it right after it was published."""

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        open_store,
        place: Place,
        *,
        retention: int = 1 << 22,
        claim_ms: int = 60_000,
    ) -> "Recorder":
        """A conversation with its first owner."""
        store = await stack.enter_async_context(open_store())
        publisher = await stack.enter_async_context(Publisher(store.url, retention_bytes=retention))
        lease = await store.claim(await store.create(recorded=True), lease_ms=_LEASE_MS)
        recordings = Recordings(store.client, store.keys, claim_ms=claim_ms)
        rig = cls(store, place, lease, store.writer(publisher, lease), recordings)
        await rig.publish(Publish(Kind.EVENT, 0, events.encode(events.OwnerChanged(str(START))), 0))
        return rig

    @property
    def names(self) -> Names:
        """The names of the recording."""
        return Names.of(self.lease.keys.id, self.lease.conversation.created_ms)

    async def publish(self, *publishes: Publish) -> None:
        """Publish frames."""
        self.writer.append(publishes, checkpoint=b"{}")
        await self.writer.drained()
        entries = await self.store.client.execute(
            "XREVRANGE", self.lease.keys.down, "+", "-", "COUNT", len(publishes)
        )
        self.published += [fields[1] for _, fields in reversed(entries)]

    async def turn(self, number: int, audio: bytes = AUDIO) -> None:
        """Publish a turn with two frames of audio."""
        half = len(audio) // 2
        await self.publish(
            Publish(Kind.EVENT, number, events.encode(events.TurnStarted()), 0),
            Publish(Kind.AUDIO, number, audio[:half], 0),
            Publish(Kind.MOTION, number, b"motion", 0),
            Publish(Kind.AUDIO, number, audio[half:], 0),
            Publish(Kind.EVENT, number, events.encode(events.TurnEnded("complete")), 0),
        )

    async def change_owner(self, stack: AsyncExitStack, retention: int = 1 << 22) -> None:
        """Another owner takes over."""
        last = self.writer.last_position
        await self.store.registry().release(self.lease)
        publisher = await stack.enter_async_context(Publisher(self.store.url, retention_bytes=retention))
        self.lease = await self.store.claim(self.lease.keys, "second", lease_ms=_LEASE_MS)
        self.writer = self.store.writer(publisher, self.lease)
        await self.publish(Publish(Kind.EVENT, 0, events.encode(events.OwnerChanged(str(last))), 0))

    async def end(self) -> None:
        """End the conversation."""
        await self.publish(Publish(Kind.EVENT, 0, events.encode(events.ConversationEnded("over")), 0))
        assert await self.store.registry().finish(
            self.lease, keep_frames_ms=3_600_000, keep_record_ms=3_600_000
        )

    async def claim(self, token: str = "a") -> Claim:  # noqa: S107  # of a claim
        """Claim the recording."""
        claim = await self.recordings.claim(self.lease.keys.id, token)
        assert claim is not None
        return claim

    async def copy(self, claim: Claim) -> Claim:
        """Copy what is there, with a claim that holds."""
        copied = await copy(claim, self.recordings, self.place.storage)
        assert copied is not None
        return copied

    async def join(self, claim: Claim, go: Callable[[], bool] = lambda: True) -> Index:
        """Make the files."""
        return await asyncio.to_thread(join, claim, self.place.storage, go)

    async def stored(self) -> list[str]:
        """The names of all files."""
        return [file.name for file in await asyncio.to_thread(self.place.storage.files)]

    async def bytes_of(self, name: str) -> bytes:
        """The content of a file."""
        return await asyncio.to_thread(lambda: b"".join(self.place.storage.read(name)))

    async def read(self) -> tuple[list[bytes | Gap], Index]:
        """The recording, verified."""
        decoder = RecordingDecoder()
        items = list(decoder.feed(await self.bytes_of(self.names.recording)))
        return items, decoder.finish()
