"""Clips: their records, audio and chunks. Control creates, lists and deletes them; workers render them.

A clip that waits to be rendered has its audio, a rendered one its chunks. Whoever renders it holds a claim:
every write of it names the claim's token, so that an attempt that was overtaken or cancelled writes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

from relay_redis.client import RedisClient
from relay_settings.clips import ClipSettings
from relay_streams.conversations import fields_of
from relay_streams.errors import Missing
from relay_streams.keys import KeySpace
from relay_streams.scripts.call import Argument, run
from relay_streams.scripts.claim_clip import ClipClaim, claim_clip
from relay_streams.scripts.create_clip import create_clip
from relay_streams.scripts.delete_clip import Deleted, delete_clip
from relay_streams.scripts.erase_clip import erase_clip
from relay_streams.scripts.finish_clip import finish_clip
from relay_streams.scripts.renew_clip import renew_clip
from relay_streams.scripts.store_clip import store_clip
from relay_wire.clips import ClipChunk
from relay_wire.uplink import decode_motion

ClipState = Literal["queued", "rendering", "ready", "failed", "cancelled", "removed"]

_STATES: dict[bytes, ClipState] = {
    b"queued": "queued",
    b"rendering": "rendering",
    b"ready": "ready",
    b"failed": "failed",
    b"cancelled": "cancelled",
    b"removed": "removed",
}
_CHUNKS_AT_ONCE = 16
_CREATOR = "clips."
"""Before an API key's id in the creator of a conversation that renders a clip: no API key has such an id."""


def creator_of_rendering(creator: str) -> str:
    """The creator of the conversation that renders a clip of an API key."""
    return _CREATOR + creator


def is_rendering(creator: str) -> bool:
    """Whether a conversation's creator is that of one that renders a clip: it is not the app's."""
    return creator.startswith(_CREATOR)


class Clip(NamedTuple):
    """A clip's record."""

    id: str
    state: ClipState
    creator: str
    """Id of the API key that created it."""
    avatar_id: str
    sample_rate: int
    created_ms: int
    audio_bytes: int
    progress: float = 0.0
    """Of the rendering, from 0 to 1; an estimate in between."""
    reason: str = ""
    """Why it failed."""
    attempts: int = 0
    """Attempts to render it."""
    conversation: str = ""
    """The conversation of the attempt under way."""
    size_bytes: int = 0
    """Audio and motion of a clip that is ready."""
    chunk_bytes: int = 0
    """Audio of each chunk, the last apart."""
    digest: str = ""
    """Of the request that created it."""
    copy: str = ""
    """The name of its copy in storage; empty: there is none."""

    @classmethod
    def from_fields(cls, clip: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the hash.

        Raises:
            Missing: It is empty, or damaged.
        """

        def number(name: bytes) -> int:
            return int(fields.get(name, b"0"))

        try:
            return cls(
                id=clip,
                state=_STATES[fields[b"state"]],
                creator=fields[b"creator"].decode(),
                avatar_id=fields[b"avatar"].decode(),
                sample_rate=int(fields[b"sample_rate"]),
                created_ms=number(b"created"),
                audio_bytes=number(b"audio_bytes"),
                progress=float(fields.get(b"progress", b"0")),
                reason=fields.get(b"reason", b"").decode(),
                attempts=number(b"attempts"),
                conversation=fields.get(b"conversation", b"").decode(),
                size_bytes=number(b"size_bytes"),
                chunk_bytes=number(b"chunk_bytes"),
                digest=fields.get(b"digest", b"").decode(),
                copy=fields.get(b"copy", b"").decode(),
            )
        except (KeyError, ValueError):
            raise Missing(f"no record of clip {clip}") from None


class ClipUsage(NamedTuple):
    """What the clips of one API key occupy."""

    clips: int
    bytes: int


class Clips:
    """The clips in the store. Its methods raise ``Unavailable`` when Redis cannot run them now.

    Args:
        client: The Redis client.
        space: The key space.
        settings: The settings of clips.
    """

    def __init__(self, client: RedisClient, space: KeySpace, settings: ClipSettings) -> None:
        self._client = client
        self._space = space
        self._outbox_entries = settings.outbox_bound

    # --- for backends --------------------------------------------------------------------------

    async def create(
        self,
        clip: str,
        *,
        creator: str,
        avatar_id: str,
        sample_rate: int,
        digest: str,
        pcm: bytes,
        events: bool = True,
    ) -> str | None:
        """Create a clip that waits to be rendered. None; or the digest of the clip that has this id.

        Args:
            clip: The id.
            creator: The API key.
            avatar_id: Renders its motion.
            sample_rate: Of the audio.
            digest: Of the request, to compare with a repeated one.
            pcm: The audio.
            events: Whether the outbox gets an entry.
        """
        fields: list[Argument] = [
            "creator", creator, "avatar", avatar_id, "sample_rate", sample_rate, "audio_bytes", len(pcm),
        ]  # fmt: skip
        call = create_clip(
            self._space.clip(clip),
            creator=creator,
            digest=digest,
            pcm=pcm,
            outbox_entries=self._outbox_entries if events else 0,
            fields=fields,
        )
        return await run(self._client, call)

    async def read(self, clip: str, creator: str) -> Clip:
        """Read a clip of an API key.

        Raises:
            Missing: The key has no such clip.
        """
        record = await self.record(clip)
        if record.creator != creator or record.state == "removed":
            raise Missing(f"no clip {clip} of this key")
        return record

    async def list_of(self, creator: str) -> list[Clip]:
        """The clips of an API key, the newest first."""
        sizes = await self._sizes(creator)
        found = await asyncio.gather(*map(self.record, sizes), return_exceptions=True)
        clips = []
        for clip in found:
            if isinstance(clip, Clip):
                clips.append(clip)
            elif not isinstance(clip, Missing):  # removed meanwhile
                raise clip
        return sorted(clips, key=lambda clip: (clip.created_ms, clip.id), reverse=True)

    async def usage(self, creator: str, *, without: str = "") -> ClipUsage:
        """What the clips of an API key occupy, one of them left out."""
        sizes = await self._sizes(creator)
        sizes.pop(without, None)
        return ClipUsage(len(sizes), sum(sizes.values()))

    async def delete(self, clip: Clip) -> Deleted:
        """Cancel a clip that is not rendered yet, or remove one."""
        return await run(self._client, delete_clip(self._space.clip(clip.id), creator=clip.creator))

    async def chunks(self, clip: str) -> list[ClipChunk]:
        """The chunks of a clip that is ready; none when it is not, or Redis has lost them."""
        keys, chunks, after = self._space.clip(clip), [], "-"
        while True:
            entries = await self._client.execute(
                "XRANGE", keys.chunks, after, "+", "COUNT", _CHUNKS_AT_ONCE, key=keys.chunks
            )
            for entry_id, flat in entries:
                fields = fields_of(flat)
                chunks.append(ClipChunk(fields.get(b"d", b""), decode_motion(fields.get(b"m", b""))))
                after = f"({entry_id.decode()}"
            if len(entries) < _CHUNKS_AT_ONCE:
                return chunks

    # --- for workers ---------------------------------------------------------------------------

    async def record(self, clip: str) -> Clip:
        """Read a clip.

        Raises:
            Missing: There is none.
        """
        return Clip.from_fields(
            clip, fields_of(await self._client.execute("HGETALL", self._space.clip(clip).record))
        )

    async def due(self, partition: int, now_ms: int, *, limit: int = 100) -> list[str]:
        """Clips of a partition that are to be rendered and that nobody renders."""
        key = self._space.shared(partition).clips_due
        found = await self._client.execute("ZRANGEBYSCORE", key, "-inf", now_ms, "LIMIT", 0, limit)
        return [clip.decode() for clip in found]

    async def claim(self, clip: str, *, token: str, claim_ms: int) -> ClipClaim | None:
        """Claim a clip for one attempt; None when it is claimed already, or not to be rendered."""
        return await run(self._client, claim_clip(self._space.clip(clip), token=token, claim_ms=claim_ms))

    async def audio(self, clip: str) -> bytes:
        """The audio of a clip that is to be rendered; empty when Redis has lost it."""
        keys = self._space.clip(clip)
        return await self._client.execute("GET", keys.audio) or b""

    async def renew(self, clip: str, *, token: str, claim_ms: int, **fields: Argument) -> bool:
        """Extend a claim, and set fields of the record. False when it is lost, or the clip cancelled."""
        flat = [part for pair in fields.items() for part in pair]
        call = renew_clip(self._space.clip(clip), token=token, claim_ms=claim_ms, fields=flat)
        return await run(self._client, call)

    async def store(self, clip: str, *, token: str, chunks: Sequence[ClipChunk]) -> bool:
        """Store all chunks of a clip. False when the claim is lost, or the clip cancelled."""
        for start in range(0, len(chunks), _CHUNKS_AT_ONCE):
            part = chunks[start : start + _CHUNKS_AT_ONCE]
            call = store_clip(self._space.clip(clip), token=token, first=start + 1, chunks=part)
            if not await run(self._client, call):
                return False
        return True

    async def finish(
        self,
        clip: Clip,
        *,
        token: str,
        state: Literal["ready", "failed", "queued"],
        delay_ms: int = 0,
        data: bytes = b"",
        events: bool = True,
        **fields: Argument,
    ) -> bool:
        """End an attempt, with its event. False when the claim is lost, or the clip cancelled.

        Args:
            clip: The clip.
            token: Of the claim.
            state: The clip's from now on; ``queued``: to be tried again.
            delay_ms: Until the next attempt.
            data: The event's, as JSON.
            events: Whether the outbox gets one.
            fields: Of the record.
        """
        size_bytes = fields.get("size_bytes", 0)
        call = finish_clip(
            self._space.clip(clip.id),
            creator=clip.creator,
            token=token,
            state=state,
            delay_ms=delay_ms,
            size_bytes=int(size_bytes),
            outbox_entries=self._outbox_entries if events else 0,
            data=data,
            fields=[part for pair in fields.items() for part in pair],
        )
        return await run(self._client, call)

    async def erase(self, clip: str) -> bool:
        """Remove the record of a removed clip, whose copy is removed. False when it was created again."""
        return await run(self._client, erase_clip(self._space.clip(clip)))

    async def _sizes(self, creator: str) -> dict[str, int]:
        names = [self._space.shared(partition).clips(creator) for partition in range(self._space.partitions)]
        found = await asyncio.gather(*(self._client.execute("HGETALL", name) for name in names))
        return {
            clip.decode(): int(size) if size.isdigit() else 0
            for flat in found
            for clip, size in fields_of(flat).items()
        }
