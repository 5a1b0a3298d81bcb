"""The inventory of recordings: those of the storage, and those that Redis lists as not finished."""

import asyncio
from datetime import date
from typing import Literal, NamedTuple

from relay_jobs.recordings import layout
from relay_jobs.storage import Storage
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.recordings import RecordingStorageSettings
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_streams.keys import KeySpace
from relay_streams.recordings import Due, Recordings
from relay_streams.scripts import SCHEMA

State = Literal["running", "waiting", "finished", "lost"]
"""The conversation is open; it has ended, and the file is not whole yet; the file is whole; there are parts
without a record of the conversation."""
_TIMEOUT_S = 5.0


class InventoryError(Exception):
    """Raised when recordings cannot be listed; the text has the reason."""


class Recording(NamedTuple):
    """A recording."""

    conversation: str
    state: State
    size_bytes: int
    """Of all its files."""
    stored_s: float
    """When the last of them was stored, in seconds since the epoch; 0: there is none yet."""


class _Files(NamedTuple):
    size_bytes: int = 0
    stored_s: float = 0.0
    is_whole: bool = False


async def recordings(limit: int) -> tuple[list[Recording], bool]:
    """The recordings, those that were stored last behind those without a file, and whether there are more.

    Raises:
        InventoryError: The settings are wrong, or Redis or the storage cannot be read.
    """
    try:
        store, place = StoreSettings.load(), RecordingStorageSettings.load()
    except SettingsError as error:
        raise InventoryError(str(error)) from None
    if not place.recordings_url:
        raise InventoryError("RELAY_RECORDINGS_URL is empty: nothing is recorded")
    # Redis first: a recording that is finished in between is shown as one that waits, not as a lost one.
    unfinished = await _unfinished(store, limit)
    try:
        files = await asyncio.to_thread(_files, place, limit)
    except ImportError:
        raise InventoryError("s3fs is not installed: pip install 'avatar-relay[jobs-s3]'") from None
    except OSError as error:
        raise InventoryError(f"{place.recordings_url}: {error}") from None
    known = {
        each.conversation: _recording(each, files.get(each.conversation, _Files())) for each in unfinished
    }
    stored = [_stored(name, each) for name, each in files.items() if name not in known]
    found = sorted([*known.values(), *stored], key=_newest_first)
    return found[:limit], len(found) > limit


async def _unfinished(settings: StoreSettings, limit: int) -> list[Due]:
    keys = KeySpace.of(settings)
    async with RedisClient(settings.store_url, SCHEMA, name="recordings", timeout_s=_TIMEOUT_S) as client:
        listed = Recordings(client, keys, claim_ms=0)
        try:
            partitions = [
                await listed.unfinished(keys.shared(partition), limit + 1)
                for partition in range(keys.partitions)
            ]
        except StoreError as error:
            raise InventoryError(f"Redis at {RedisUrl.parse(settings.store_url).where}: {error}") from None
    return [each for partition in partitions for each in partition]


def _files(settings: RecordingStorageSettings, limit: int) -> dict[str, _Files]:
    """The files of the newest conversations, by conversation. Blocks."""
    storage = Storage.of(settings)
    found: dict[str, _Files] = {}
    for folder in reversed(storage.folders()):
        if layout.is_older(folder, date.max):
            _add(storage, folder, found)
        if len(found) > limit:
            break
    return found


def _add(storage: Storage, folder: str, found: dict[str, _Files]) -> None:
    for file in storage.files(folder):
        owned = layout.owned(file.name)
        if owned is not None and not owned.is_unfinished:
            before = found.get(owned.conversation, _Files())
            found[owned.conversation] = _Files(
                before.size_bytes + file.size_bytes,
                max(before.stored_s, file.modified_s),
                before.is_whole or file.name.endswith(".avrec"),
            )


def _recording(due: Due, files: _Files) -> Recording:
    state: State = "waiting" if due.has_ended else "running"
    return Recording(due.conversation, state, files.size_bytes, files.stored_s)


def _stored(conversation: str, files: _Files) -> Recording:
    state: State = "finished" if files.is_whole else "lost"
    return Recording(conversation, state, files.size_bytes, files.stored_s)


def _newest_first(recording: Recording) -> tuple[bool, float, str]:
    return bool(recording.stored_s), -recording.stored_s, recording.conversation
