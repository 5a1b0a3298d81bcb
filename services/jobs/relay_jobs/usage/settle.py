"""The tick ``usage.settle``: counts what accounts have noted, once it is due."""

import asyncio
import time

import structlog
from prometheus_client import Histogram

from relay_jobs.job import Resources, every, job
from relay_jobs.usage.settlement import Terms, settle
from relay_redis.errors import StoreError
from relay_settings.jobs import JobsSettings
from relay_streams import accounts, usage
from relay_streams.accounts import Settled
from relay_streams.keys import PartitionKeys
from relay_telemetry.counter import counter

SETTLED = counter(
    "relay_jobs_usage_settled_total",
    "Accounts of conversations settled, by what was counted: viewer time, Motion sessions without a reported"
    " end, such estimates replaced by a late report, or nothing.",
    kind=("viewers", "estimate", "report", "nothing"),
)
LATE_SECONDS = Histogram(
    "relay_jobs_usage_late_seconds",
    "From the time at which an account was due to its settlement.",
    buckets=(1, 5, 15, 30, 60, 300, 900, 3600, 21_600, 86_400),
)
FAILURES = counter(
    "relay_jobs_usage_failures_total", "Partitions whose accounts could not be settled.", reason=("store",)
)

_DAY_MS = 86_400_000
_PER_PARTITION = 1000
"""Most accounts of one partition in one tick."""

log = structlog.get_logger(__name__)


@job("usage.settle", limit_s=120)
async def settle_accounts(resources: Resources) -> None:
    """Settle the accounts that are due, of all partitions. Safe to repeat, to cancel, and beside itself."""
    partitions = map(resources.keys.shared, range(resources.keys.partitions))
    await asyncio.gather(*(_settle_partition(resources, partition) for partition in partitions))


every("usage.settle", lambda settings: settings.usage_settle_s)


async def _settle_partition(resources: Resources, partition: PartitionKeys) -> None:
    terms = terms_of(resources.settings)
    now_ms = time.time_ns() // 1_000_000
    try:
        for conversation, due_ms in await accounts.due(
            resources.client, partition, by_ms=now_ms, limit=_PER_PARTITION
        ):
            keys = resources.keys.conversation(conversation)
            account = await accounts.read(resources.client, keys)
            settled = settle(account, now_ms=now_ms, terms=terms)
            if await accounts.settle(resources.client, keys, settled):
                SETTLED.labels(_kind(settled)).inc()
                LATE_SECONDS.observe(max(now_ms - due_ms, 0) / 1000)
    except StoreError as error:
        FAILURES.labels("store").inc()
        log.info("usage not settled", partition=partition.partition, error=str(error))


def terms_of(settings: JobsSettings) -> Terms:
    """The rules of estimates, by the settings."""
    return Terms(
        session_ms=round(settings.usage_session_s * 1000),
        grace_ms=round(settings.usage_grace_s * 1000),
        keep_ms=settings.usage_keep_days * _DAY_MS,
    )


def _kind(settled: Settled) -> str:
    estimates = [counts.get(usage.ESTIMATED_CREDITS, 0) for counts in settled.counts.values()]
    if any(credits_ > 0 for credits_ in estimates):
        return "estimate"
    if any(estimates):
        return "report"
    return "viewers" if settled.counts else "nothing"
