"""Copying: the frames of a conversation that its recording does not have yet, as parts into storage."""

import asyncio
from collections.abc import Iterable

import structlog

from relay_jobs.recordings.layout import Names
from relay_jobs.recordings.metrics import BYTES, GAPS, PARTS
from relay_jobs.storage import Storage
from relay_streams.recordings import Claim, Page, Recordings
from relay_wire import events
from relay_wire.frame import position_of
from relay_wire.position import Position
from relay_wire.recording.blocks import part

PART_BYTES = 2 * 1024 * 1024
"""Bytes of frames after which a part ends: it bounds what a worker holds, and how long Redis reads for it."""

log = structlog.get_logger(__name__)


async def copy(claim: Claim, recordings: Recordings, storage: Storage) -> Claim | None:
    """Copy every frame that is in the stream. Returns the claim with its new cursor; None when it was lost.

    A part is stored before the cursor moves. Killed between the two, the same frames are copied again: into
    the same part, or into a longer one that begins alike.

    Raises:
        StoreError: Redis cannot be reached.
        OSError: The storage cannot be written.
    """
    names = Names.of(claim.keys.id, claim.conversation.created_ms)
    while True:
        page = await recordings.read(claim, claim.cursor, PART_BYTES)
        if page.last == claim.cursor:
            return claim
        if page.frames:
            await _store(names, page, storage)
            _note_gaps(claim, page.frames)
        copied_bytes = sum(map(len, page.frames))
        if not await recordings.advance(
            claim, cursor=page.last, copied_bytes=copied_bytes, removed_bytes=page.removed_bytes
        ):
            return None
        PARTS.inc(bool(page.frames))
        BYTES.inc(copied_bytes)
        claim = claim._replace(cursor=page.last)


async def _store(names: Names, page: Page, storage: Storage) -> None:
    name = names.part(position_of(page.frames[0]), position_of(page.frames[-1]))
    await asyncio.to_thread(storage.put, name, part(page.frames))


def _note_gaps(claim: Claim, frames: Iterable[bytes]) -> None:
    cursor = claim.cursor
    for frame in frames:
        position = position_of(frame)
        if not events.follows(cursor, position, events.of_frame(frame)):
            _note_gap(claim, cursor, position)
        cursor = position


def _note_gap(claim: Claim, cursor: Position, position: Position) -> None:
    GAPS.inc()
    log.warning(
        "frames left the stream before they were copied",
        conversation=claim.keys.id,
        after=str(cursor),
        next=str(position),
    )
