"""The tick ``reaper.reap``: looks at the relay's keys in steps, carries out the verdicts, repairs indexes."""

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Histogram

from relay_jobs.job import Resources, every, job
from relay_jobs.reaper import last_owner
from relay_jobs.reaper.verdict import Limits, Verdict, verdict
from relay_redis.errors import StoreError
from relay_settings.jobs import JobsSettings
from relay_streams.errors import Unreadable
from relay_streams.keys import ConversationKeys, PartitionKeys
from relay_streams.reaping import EXPIRED, Found, Scan, prune_creator, remove_dispatchers, scans
from relay_streams.scripts.call import run
from relay_streams.scripts.close_idle import close_idle
from relay_streams.scripts.examine import Examination, examine
from relay_streams.scripts.remove_orphan import remove_orphan
from relay_streams.scripts.restore_deliveries import restore_deliveries
from relay_telemetry.counter import counter

REAPED = counter(
    "relay_jobs_reaped_total",
    "What the reaper has ended or removed: conversations whose end it requested, and those that it ended"
    " itself; streams without a record, leases without an expiry, entries of creators' indexes, and consumers"
    " of dispatchers that are gone.",
    kind=("closed", "ended", "stream", "lease", "index", "consumer"),
)
RESTORED = Counter(
    "relay_jobs_webhooks_restored_total",
    "Webhooks that are due, or listed as dead letters, again: Redis had lost the index that they were in.",
)
KEYS = Counter("relay_jobs_reaper_keys_total", "Keys that the reaper has looked at.")
IDLE_SECONDS = Histogram(
    "relay_jobs_reaped_idle_seconds",
    "For how long a conversation had neither viewers nor traffic when the reaper requested its end, and for"
    " how long that was requested when the reaper ended it itself.",
    buckets=(60, 600, 3600, 7200, 14_400, 43_200, 86_400, 604_800),
)
FAILURES = counter(
    "relay_jobs_reaper_failures_total",
    "What the reaper could not do: Redis did not run it, or a later version of the relay wrote a record.",
    reason=("store", "later_format"),
)

_SCAN_S = 60.0
"""For how long a scan is one process's, unless that ends it before."""
_PAUSE_S = 0.02
"""Between two steps, so that a scan delays no other command."""

log = structlog.get_logger(__name__)


@job("reaper.reap", limit_s=300)
async def reap(resources: Resources) -> None:
    """End and remove what nobody uses any more. Safe to repeat, to cancel, and beside itself.

    Nothing is judged until this process has been connected to Redis for ``RELAY_REAPER_GONE_S``.
    """
    if not is_steady(resources):
        return
    for scan in scans(resources.client, resources.keys):
        try:
            await _reap_server(resources, scan)
        except StoreError as error:
            FAILURES.labels("store").inc()
            log.info("keys not reaped", error=str(error))
    await _reap_dispatchers(resources)


every("reaper.reap", lambda settings: settings.reaper_s)


async def _reap_server(resources: Resources, scan: Scan) -> None:
    if not await scan.begin(_SCAN_S):
        return
    async for found in scan.steps(resources.settings.reaper_keys):
        KEYS.inc(found.keys)
        await _reap_step(resources, found)
        await asyncio.sleep(_PAUSE_S)
    await scan.end()


async def _reap_step(resources: Resources, found: Found) -> None:
    conversations = map(resources.keys.conversation, found.conversations)
    await asyncio.gather(*(_reap_conversation(resources, keys) for keys in conversations))
    for partition, creator in found.creators:
        REAPED.labels("index").inc(await prune_creator(resources.client, resources.keys, partition, creator))
    for partition, deliveries in found.deliveries:
        await _restore(resources, partition, deliveries)


async def _restore(resources: Resources, partition: PartitionKeys, deliveries: Sequence[str]) -> None:
    """Repair the indexes of webhooks: an eviction, or another program, may have removed them alone."""
    restored = await run(resources.client, restore_deliveries(partition, deliveries))
    if restored:
        RESTORED.inc(restored)
        log.warning("webhooks restored to their index", partition=partition.partition, webhooks=restored)


async def _reap_conversation(resources: Resources, keys: ConversationKeys) -> None:
    """Examine a conversation and carry out the verdict. What fails is found again by the next scan."""
    limits = limits_of(resources.settings)
    try:
        found = await run(resources.client, examine(keys))
        REAPED.labels("lease").inc(found.leases)
        match verdict(found, limits):
            case Verdict.CLOSE:
                await _close(resources, keys, found, limits)
            case Verdict.END:
                await _end(resources, keys, found)
            case Verdict.REMOVE:
                removed = await run(resources.client, remove_orphan(keys, gone_ms=limits.gone_ms))
                REAPED.labels("stream").inc(removed)
    except Unreadable:
        FAILURES.labels("later_format").inc()
    except StoreError as error:
        FAILURES.labels("store").inc()
        log.info("conversation not reaped", conversation=keys.id, error=str(error))


async def _close(resources: Resources, keys: ConversationKeys, found: Examination, limits: Limits) -> None:
    if await run(resources.client, close_idle(keys, idle_ms=limits.idle_ms, reason=EXPIRED)):
        REAPED.labels("closed").inc()
        IDLE_SECONDS.observe(found.idle_ms / 1000)
        log.info("conversation expired", conversation=keys.id, idle_s=found.idle_ms // 1000)


async def _end(resources: Resources, keys: ConversationKeys, found: Examination) -> None:
    if await last_owner.end(resources, keys, found.reason or EXPIRED):
        REAPED.labels("ended").inc()
        IDLE_SECONDS.observe(found.idle_ms / 1000)
        log.warning(
            "conversation ended without a worker", conversation=keys.id, unowned_s=found.unowned_ms // 1000
        )


async def _reap_dispatchers(resources: Resources) -> None:
    gone_s = resources.settings.reaper_gone_s
    for partition in map(resources.keys.shared, range(resources.keys.partitions)):
        try:
            REAPED.labels("consumer").inc(await remove_dispatchers(resources.client, partition, gone_s))
        except StoreError as error:
            FAILURES.labels("store").inc()
            log.info("dispatchers not reaped", partition=partition.partition, error=str(error))


def limits_of(settings: JobsSettings) -> Limits:
    """The limits, by the settings."""
    return Limits(
        idle_ms=round(settings.conversation_ttl_s * 1000), gone_ms=round(settings.reaper_gone_s * 1000)
    )


def is_steady(resources: Resources) -> bool:
    """Whether Redis has been reachable for long enough to judge by it.

    After an outage, conversations look idle until their viewers are noted again, and unowned until workers
    are back.
    """
    settings = resources.settings
    needed_s = min(settings.conversation_ttl_s or settings.reaper_gone_s, settings.reaper_gone_s)
    return resources.client.connected_for_s >= needed_s
