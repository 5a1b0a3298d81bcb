"""Checks of the jobs service: its broker, its processes, and the place of recordings."""

import asyncio
import secrets
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from relay_cli.doctor import finding
from relay_cli.doctor.finding import Finding
from relay_cli.doctor.hosts import status
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings
from relay_settings.redis_url import RedisUrl
from relay_streams import job_roles
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA


async def examine() -> list[Finding]:
    """Look for the broker, for processes that do the work, and try the place of recordings."""
    try:
        settings = JobsSettings.load()
    except SettingsError:
        return []  # a finding of its own
    return [await _broker(settings), await _job_roles(settings), *await _recordings(settings)]


async def _broker(settings: JobsSettings) -> Finding:
    where = RedisUrl.parse(settings.broker_url).where
    async with RedisClient(settings.broker_url, SCHEMA, name="doctor", timeout_s=finding.TIMEOUT_S) as client:
        try:
            await client.execute("GET", "nothing")
        except StoreError as error:
            fix = "start it, or correct RELAY_JOBS_BROKER_URL; without it jobs wait in the store"
            return Finding("jobs broker", "fail", f"{where}: {error}", fix)
    return Finding("jobs broker", "ok", f"{where} answers")


async def _job_roles(settings: JobsSettings) -> Finding:
    async with RedisClient(settings.store_url, SCHEMA, name="doctor", timeout_s=finding.TIMEOUT_S) as client:
        try:
            missing = await job_roles.missing(client, KeySpace.of(settings))
        except StoreError as error:
            return Finding("jobs processes", "fail", str(error), "see Redis")
    if not missing:
        return Finding("jobs processes", "ok", "dispatcher, worker and beat do their work")
    fix = (
        f"start {', '.join(f'relay-jobs {role}' for role in missing)}, or see /readyz: the outbox only fills"
    )
    return Finding("jobs processes", "fail", f"none of: {', '.join(missing)}", fix)


async def _recordings(settings: JobsSettings) -> list[Finding]:
    """Try the place of recordings, where there is one."""
    url = settings.recordings_url
    if not url:
        return []
    if url.startswith("s3://"):
        return [await _bucket(settings)]
    return [await asyncio.to_thread(_folder, Path(url.removeprefix("file://")))]


def _folder(folder: Path) -> Finding:
    """Workers create a folder that is missing, so that the nearest one that exists is tried."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Finding("recordings", "ok", f"{folder} can be written")
    except OSError as error:
        fix = "correct RELAY_RECORDINGS_URL, or let the user of the workers write there"
        return Finding("recordings", "fail", f"{nearest}: {error.strerror}", fix)


async def _bucket(settings: JobsSettings) -> Finding:
    """Store an empty object and remove it. A server that is away is found first: boto tries for minutes."""
    url, endpoint = settings.recordings_url, settings.recordings_s3_endpoint
    try:
        if endpoint:
            await status(endpoint)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        where = f"{urlsplit(endpoint).netloc.rpartition('@')[2]}: {str(error) or type(error).__name__}"
        return Finding("recordings", "fail", where, "start it, or correct RELAY_RECORDINGS_S3_ENDPOINT")
    try:
        await asyncio.to_thread(_write_to, settings)
    except ImportError:
        return Finding("recordings", "fail", "s3fs is not installed", "pip install 'avatar-relay[jobs-s3]'")
    except Exception as error:  # noqa: BLE001  # of fsspec, s3fs and boto
        fix = (
            "create the bucket, or correct RELAY_RECORDINGS_URL or RELAY_RECORDINGS_S3_KEY_ID, or its rights"
        )
        return Finding("recordings", "fail", f"{url}: {str(error) or type(error).__name__}", fix)
    return Finding("recordings", "ok", f"{url} can be written")


def _write_to(settings: JobsSettings) -> None:
    from relay_jobs.storage import Storage  # noqa: PLC0415

    storage, name = Storage.of(settings), f".doctor-{secrets.token_hex(4)}"
    storage.put(name, b"")
    storage.remove([name])
