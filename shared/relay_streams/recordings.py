"""Recordings: which conversations are recorded, up to which frame they are copied, and by whom.

A recording is listed in its partition's ``recordings``, by the time at which a worker looks at it next, from
its creation until its file is whole. A worker claims it for a time, and each of its writes checks the claim.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from relay_redis.client import RedisClient
from relay_streams.conversations import Conversation
from relay_streams.keys import ConversationKeys, KeySpace, PartitionKeys
from relay_streams.scripts.advance_recording import advance_recording
from relay_streams.scripts.call import run
from relay_streams.scripts.claim_recording import claim_recording
from relay_streams.scripts.read_recording import Page, read_recording
from relay_streams.scripts.release_recording import release_recording
from relay_wire.position import START, Position, PositionError

__all__ = ["Claim", "Due", "Page", "Recordings"]

KEEP_FINISHED_MS = 60_000
"""How long the frames of an ended conversation stay once its recording is whole."""


class Claim(NamedTuple):
    """A recording that this worker has claimed."""

    keys: ConversationKeys
    token: str
    conversation: Conversation
    cursor: Position
    """The last frame that is copied."""

    @property
    def is_copied(self) -> bool:
        """Whether every frame that was published when it was claimed is copied."""
        return self.cursor >= self.conversation.last_position


class Due(NamedTuple):
    """A recording that a worker should look at."""

    conversation: str
    due_ms: int
    has_work: bool
    """Whether there are frames to copy, or a file to finish."""
    has_ended: bool
    """Whether the conversation has ended."""


class Recordings:
    """The recordings of all conversations. Every method raises ``Unavailable`` when Redis cannot run it now.

    Args:
        client: Runs the scripts.
        keys: The key space.
        claim_ms: How long a claim holds without renewal.
    """

    def __init__(self, client: RedisClient, keys: KeySpace, *, claim_ms: int) -> None:
        self._client = client
        self._keys = keys
        self._claim_ms = claim_ms

    async def register(self, conversation: str, *, within_ms: int) -> None:
        """List a recording before its conversation is created, so that no crash between them loses it.

        One whose conversation is not created then is removed when a worker looks at it.
        """
        keys = self._keys.conversation(conversation)
        await self._client.execute("ZADD", keys.recordings, _now_ms() + within_ms, keys.id)

    async def due(self, partition: PartitionKeys, limit: int) -> list[Due]:
        """Up to ``limit`` recordings of a partition whose time has come, the longest due first."""
        return await self._listed(partition, _now_ms(), limit)

    async def unfinished(self, partition: PartitionKeys, limit: int) -> list[Due]:
        """Up to ``limit`` recordings of a partition that are not finished, the longest due first."""
        return await self._listed(partition, "+inf", limit)

    async def _listed(self, partition: PartitionKeys, by: int | str, limit: int) -> list[Due]:
        found = await self._client.execute(
            "ZRANGEBYSCORE", partition.recordings, "-inf", by, "WITHSCORES", "LIMIT", 0, limit
        )
        names = [name.decode(errors="replace") for name in found[::2]]
        records = await asyncio.gather(*map(self._progress, names))
        scores = [int(float(score)) for score in found[1::2]]
        return [
            Due(*each, *record) for each, record in zip(zip(names, scores, strict=True), records, strict=True)
        ]

    async def _progress(self, conversation: str) -> tuple[bool, bool]:
        meta = self._keys.conversation(conversation).meta
        state, tail, cursor = await self._client.execute("HMGET", meta, "state", "tail", "rec_cursor")
        has_ended = state == b"ended"
        # One whose record is gone has work, too: the claim removes it from the list.
        return has_ended or state is None or (tail or b"") != (cursor or b""), has_ended

    async def postpone(self, partition: PartitionKeys, conversations: Sequence[str], by_ms: int) -> None:
        """Look at these recordings later: there is nothing to copy."""
        if conversations:
            due = _now_ms() + by_ms
            pairs = [part for name in conversations for part in (due, name)]
            await self._client.execute("ZADD", partition.recordings, "XX", *pairs)

    async def count(self, partition: PartitionKeys) -> int:
        """The recordings of a partition that are not finished."""
        return int(await self._client.execute("ZCARD", partition.recordings))

    async def is_pending(self, conversation: str) -> bool:
        """Whether a recording is not finished."""
        keys = self._keys.conversation(conversation)
        return await self._client.execute("ZSCORE", keys.recordings, keys.id) is not None

    async def claim(self, conversation: str, token: str) -> Claim | None:
        """Claim a recording. None when another worker holds it, or there is nothing to record.

        Raises:
            Missing: It was listed, and the conversation's record is gone. It is not listed any more.
        """
        keys = self._keys.conversation(conversation)
        fields = await run(self._client, claim_recording(keys, token=token, claim_ms=self._claim_ms))
        if fields is None:
            return None
        record, _ = Conversation.salvage(keys.id, fields)
        return Claim(keys, token, record, _position(fields.get(b"rec_cursor", b"")))

    async def read(self, claim: Claim, after: Position, most_bytes: int) -> Page:
        """Read frames after a position."""
        return await run(self._client, read_recording(claim.keys, after=after, most_bytes=most_bytes))

    async def advance(
        self, claim: Claim, *, cursor: Position, copied_bytes: int = 0, removed_bytes: int = 0
    ) -> bool:
        """Move the cursor of a recording, and renew the claim; False when it was lost.

        The frames before it that retention does not keep leave the stream.
        """
        call = advance_recording(
            claim.keys,
            token=claim.token,
            claim_ms=self._claim_ms,
            cursor=cursor,
            copied_bytes=copied_bytes,
            removed_bytes=removed_bytes,
        )
        return await run(self._client, call)

    async def release(self, claim: Claim, *, next_ms: int | None) -> bool:
        """Return a claim; False when it was lost.

        Args:
            claim: The claim.
            next_ms: When a worker looks at it next; None when its file is whole.
        """
        call = release_recording(
            claim.keys, token=claim.token, next_ms=next_ms, keep_frames_ms=KEEP_FINISHED_MS
        )
        return await run(self._client, call)


def _position(data: bytes) -> Position:
    try:
        return Position.parse(data.decode("ascii", "replace"))
    except PositionError:
        return START


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
