"""The jobs of recordings: copy what is new, finish what has ended, find what is due, remove what is old."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from itertools import islice
from threading import Event

import structlog

from relay_jobs.consequences import TaskCall
from relay_jobs.job import Resources, every, job
from relay_jobs.recordings import metrics
from relay_jobs.recordings.copying import copy
from relay_jobs.recordings.expiry import expired
from relay_jobs.recordings.joining import Stopped, join
from relay_jobs.recordings.layout import Owned
from relay_jobs.recordings.plan import COPY, FINISH
from relay_jobs.storage import Storage
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings
from relay_streams.errors import Missing
from relay_streams.recordings import Claim, Due, Recordings
from relay_wire.recording.contents import Index

_FINISH_S = 600.0
_DUE_S = 3.0
_SOON_MS = 1000
"""When to look again at a conversation whose end is published but not recorded yet."""
_DUE_AT_ONCE = 200
_REMOVED_AT_ONCE = 100
_EXPIRE_S = 900.0

log = structlog.get_logger(__name__)


@job(COPY, limit_s=300)
async def copy_recording(resources: Resources, _partition: int, conversation: str) -> None:
    """Copy the frames of a conversation that its recording does not have yet."""
    await _work(resources, conversation, "copy")


@job(FINISH, limit_s=_FINISH_S)
async def finish_recording(resources: Resources, _partition: int, conversation: str) -> None:
    """Copy the last frames of a conversation that has ended, and make its files."""
    await _work(resources, conversation, "finish")


@job("recordings.due", limit_s=30)
async def send_due(resources: Resources) -> None:
    """Send a task for each recording whose time has come and that has work."""
    recordings = _recordings(resources)
    for number in range(resources.keys.partitions):
        partition = resources.keys.shared(number)
        due = await recordings.due(partition, _DUE_AT_ONCE)
        idle = [each.conversation for each in due if not each.has_work]
        await recordings.postpone(partition, idle, _interval_ms(resources))
        await resources.send([_task_of(number, each) for each in due if each.has_work])


@job("recordings.expire", limit_s=_FINISH_S)
async def remove_expired(resources: Resources) -> None:
    """Remove the files that are past their days, those of unfinished recordings excepted."""
    settings = resources.settings
    if not settings.recordings_url or not settings.recordings_keep_days:
        return
    recordings, storage = _recordings(resources), _storage(settings)
    with metrics.FAILURES.labels("expire").count_exceptions():
        found = expired(storage, settings.recordings_keep_days, time.time())
        while batch := await asyncio.to_thread(_take, found):
            names = [name for name, owned in batch if not await recordings.is_pending(owned.conversation)]
            metrics.EXPIRED.inc(await asyncio.to_thread(storage.remove, names))


every("recordings.due", _DUE_S)
every("recordings.expire", _EXPIRE_S)


async def _work(resources: Resources, conversation: str, step: str) -> None:
    recordings = _recordings(resources)
    try:
        claim = await recordings.claim(conversation, secrets.token_hex(8))
    except Missing:
        metrics.LOST.inc()
        log.warning("a recording is lost: the conversation's record is gone", conversation=conversation)
        return
    if claim is None:
        return
    with metrics.FAILURES.labels(step).count_exceptions():
        storage = _storage(resources.settings)
        copied = await copy(claim, recordings, storage)
        if copied is None:
            return
        if copied.conversation.state != "ended":
            soon = step == "finish"
            await recordings.release(copied, next_ms=_SOON_MS if soon else _interval_ms(resources))
        elif step == "copy":
            await recordings.release(copied, next_ms=0)
        else:
            index = await _join(copied, recordings, storage, resources.settings.recordings_claim_s)
            if index is not None and await recordings.release(copied, next_ms=None):
                _note_finished(copied, index)


async def _join(claim: Claim, recordings: Recordings, storage: Storage, claim_s: float) -> Index | None:
    """Join in a thread, which ends soon after this call is cancelled. None when the claim was lost.

    Raises:
        StoreError: Redis cannot be reached.
        OSError: The storage cannot be read or written.
        RecordingError: A part is damaged, or the file in storage is.
    """
    stopped = Event()
    try:
        async with TaskScope() as scope:
            scope.spawn(_renew(claim, recordings, claim_s, stopped), name="recording-claim")
            return await asyncio.to_thread(join, claim, storage, lambda: not stopped.is_set())
    except (Stopped, OSError):
        # Whoever has the claim now removes the parts that this attempt reads.
        if await recordings.advance(claim, cursor=claim.cursor):
            raise
        return None
    finally:
        stopped.set()


async def _renew(claim: Claim, recordings: Recordings, claim_s: float, stopped: Event) -> None:
    while not stopped.is_set():
        await asyncio.sleep(claim_s / 3)
        try:
            if not await recordings.advance(claim, cursor=claim.cursor):
                stopped.set()
        except StoreError as error:
            # The files are made once whoever has the claim: the next attempt may renew it.
            log.info("claim of a recording not renewed", conversation=claim.keys.id, error=str(error))


def _note_finished(claim: Claim, index: Index) -> None:
    metrics.FINISHED.inc()
    log.info(
        "recording finished",
        conversation=claim.keys.id,
        frames=index.frames,
        bytes=index.frame_bytes,
        seconds=index.duration_ms / 1000,
        gaps=len(index.gaps),
    )


def _task_of(partition: int, due: Due) -> TaskCall:
    return TaskCall(FINISH if due.has_ended else COPY, (partition, due.conversation))


def _take(found: Iterator[tuple[str, Owned]]) -> list[tuple[str, Owned]]:
    return list(islice(found, _REMOVED_AT_ONCE))


def _recordings(resources: Resources) -> Recordings:
    return Recordings(
        resources.client, resources.keys, claim_ms=int(resources.settings.recordings_claim_s * 1000)
    )


def _storage(settings: JobsSettings) -> Storage:
    """The storage of the settings.

    Raises:
        SettingsError: There is none, although a conversation is recorded.
    """
    if not settings.recordings_url:
        raise SettingsError("RELAY_RECORDINGS_URL is empty here, but control records conversations")
    return Storage.of(settings)


def _interval_ms(resources: Resources) -> int:
    return int(resources.settings.recordings_interval_s * 1000)
