"""Copies: clips that are ready as files in the storage of recordings, to restore those that Redis has lost.

A file has the name of the attempt that wrote it, so that no attempt touches another's. The record of a
removed clip stays until its file is removed: else the clip would return.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote, unquote

import structlog

from relay_jobs.storage import Storage, StoredFile
from relay_settings.jobs import JobsSettings
from relay_streams.clips import Clip, Clips
from relay_streams.errors import Missing
from relay_telemetry.counter import counter
from relay_wire.clip_file import ClipFile, ClipFileError
from relay_wire.clips import ClipChunk

COPIES = counter(
    "relay_jobs_clip_copies_total",
    "Copies of clips: written, failed to be, removed, read to restore a lost clip, or unreadable.",
    what=("written", "failed", "removed", "restored", "unreadable"),
)

FOLDER = "clips"
_SUFFIX = ".clip"
_ORPHAN_S = 3600.0
"""Age at which a file of an attempt that was overtaken is removed."""
_CLAIM_MS = 30_000

log = structlog.get_logger(__name__)


class Copies:
    """The copies of clips.

    Args:
        settings: The settings; without a place for recordings there are no copies.
        clips: The clips in the store.
    """

    def __init__(self, settings: JobsSettings, clips: Clips) -> None:
        self._settings = settings
        self._clips = clips

    async def write(self, clip: Clip, token: str, chunks: Sequence[ClipChunk]) -> str:
        """Write the copy of a clip. Returns its name; empty: there is no storage, or it failed."""
        if not self._settings.recordings_url:
            return ""
        file = ClipFile(
            id=clip.id,
            creator=clip.creator,
            avatar_id=clip.avatar_id,
            sample_rate=clip.sample_rate,
            digest=clip.digest,
            chunk_bytes=len(chunks[0].pcm),
            chunks=chunks,
        )
        name = _name_of(clip, token)
        try:
            await asyncio.to_thread(self._write, name, file)
        except Exception as error:  # noqa: BLE001  # whatever the storage raises: the clip is ready without it
            COPIES.labels("failed").inc()
            log.warning("clip not copied", clip=clip.id, error=repr(error))
            return ""
        COPIES.labels("written").inc()
        return name

    async def remove(self, clip: Clip) -> None:
        """Remove the copy of a removed clip, then its record.

        Raises whatever the storage raises: the record stays, and the next call tries again.
        """
        if clip.copy and self._settings.recordings_url:
            await asyncio.to_thread(self._remove, clip.copy)
            COPIES.labels("removed").inc()
        await self._clips.erase(clip.id)

    async def restore(self) -> None:
        """Restore the clips that Redis has lost, and remove files that no clip has.

        Raises whatever the storage raises; what is restored stays so.
        """
        if not self._settings.recordings_url:
            return
        for file in await asyncio.to_thread(self._files):
            state = await self._state(file)
            if state == "orphan":
                await asyncio.to_thread(self._remove, file.name)
                COPIES.labels("removed").inc()
            elif state == "lost":
                await self._restore(file.name)

    async def _state(self, file: StoredFile) -> Literal["lost", "orphan", "kept"]:
        try:
            clip = await self._clips.record(_clip_of(file.name))
        except Missing:
            return "lost"
        is_another = clip.copy != file.name and clip.state not in ("queued", "rendering")
        return "orphan" if is_another and time.time() - file.modified_s > _ORPHAN_S else "kept"

    async def _restore(self, name: str) -> None:
        try:
            file = await asyncio.to_thread(self._read, name)
        except (ClipFileError, FileNotFoundError):
            COPIES.labels("unreadable").inc()
            log.warning("clip file unreadable", file=name)
            return
        await self._store(file, name)

    async def _store(self, file: ClipFile, name: str) -> None:
        chunks, token = file.clip_chunks, secrets.token_hex(8)
        known = await self._clips.create(
            file.id,
            creator=file.creator,
            avatar_id=file.avatar_id,
            sample_rate=file.sample_rate,
            digest=file.digest,
            pcm=b"".join(chunk.pcm for chunk in chunks),
            events=False,
        )
        if known is not None or await self._clips.claim(file.id, token=token, claim_ms=_CLAIM_MS) is None:
            return
        clip = await self._clips.record(file.id)
        if await self._clips.store(file.id, token=token, chunks=chunks) and await self._clips.finish(
            clip,
            token=token,
            state="ready",
            events=False,
            progress="1",
            size_bytes=sum(chunk.size_bytes for chunk in chunks),
            chunk_bytes=file.chunk_bytes,
            copy=name,
        ):
            COPIES.labels("restored").inc()
            log.info("clip restored", clip=file.id)

    # --- in a thread ---------------------------------------------------------------------------

    def _storage(self) -> Storage:
        return Storage.of(self._settings)

    def _write(self, name: str, file: ClipFile) -> None:
        self._storage().put(name, file.encode())

    def _remove(self, name: str) -> None:
        self._storage().remove([name])

    def _files(self) -> list[StoredFile]:
        return [file for file in self._storage().files(FOLDER) if file.name.endswith(_SUFFIX)]

    def _read(self, name: str) -> ClipFile:
        return ClipFile.decode(b"".join(self._storage().read(name)))


def _name_of(clip: Clip, token: str) -> str:
    return f"{FOLDER}/{quote(clip.creator, safe='')}/{quote(clip.id, safe='')}.{token}{_SUFFIX}"


def _clip_of(name: str) -> str:
    """The id of the clip in a file of this name."""
    return unquote(name.rpartition("/")[2].removesuffix(_SUFFIX).rpartition(".")[0])
