"""The jobs of webhooks, and what follows from an event in a dispatcher."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NoReturn

import structlog
from prometheus_client import Counter, Gauge

from relay_jobs.consequences import Consequence, Plan, TaskCall
from relay_jobs.job import Resources, every, job
from relay_jobs.webhooks.delivery import Webhooks, open_webhooks
from relay_jobs.webhooks.endpoint_file import EndpointFile
from relay_jobs.webhooks.plan import DELIVER, endpoint_of, plan
from relay_jobs.webhooks.shares import share
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_settings.webhooks import WebhookSettings
from relay_streams.outbox import OutboxEvent
from relay_streams.webhooks import Deliveries, Place

DUE: Final = "webhooks.due"
"""The job that sends tasks of what is due."""
DUE_S: Final = 1.0
"""Its interval."""
MEASURE_S: Final = 5.0
"""Between two measurements of the backlog."""
_DAY_S: Final = 86_400.0

PENDING = Gauge(
    "relay_jobs_pending_webhooks",
    "Webhooks that are neither delivered nor dead letters; the same at every dispatcher.",
)
DUE_NOW = Gauge(
    "relay_jobs_due_webhooks",
    "Webhooks whose next attempt could begin now; the same at every dispatcher.",
)
OLDEST_DUE = Gauge(
    "relay_jobs_webhook_oldest_due_seconds",
    "How long the first of these has been due, 0 without any; the same at every dispatcher.",
)
DEAD = Gauge("relay_jobs_dead_webhooks", "Dead letters that are kept; the same at every dispatcher.")
EXCEEDING = Counter(
    "relay_jobs_webhook_deferred_total",
    "Times that a due delivery got no task, since its endpoint rested or had its share of the tick.",
)
UNREAD = Counter(
    "relay_jobs_webhook_due_failures_total",
    "Reads of a partition's due webhooks that failed; the next one is a second later.",
)

log = structlog.get_logger(__name__)


@job(DELIVER, limit_s=90)
async def deliver(resources: Resources, partition: int, delivery: str) -> None:
    """Make one attempt of a delivery, if one may begin now."""
    webhooks = await resources.opened(_open_webhooks)
    await webhooks.deliver(Place(partition, delivery))


@job(DUE, limit_s=30)
async def due(resources: Resources) -> None:
    """Send a task of each delivery that is due, unless one was sent lately."""
    deliveries, settings = Deliveries(resources.client, resources.keys), resources.settings
    found = await asyncio.gather(
        *(
            deliveries.due(
                partition,
                limit=settings.webhook_due_limit,
                resend_s=settings.webhook_resend_s,
                keep_dead_s=settings.webhook_dead_letter_days * _DAY_S,
            )
            for partition in range(resources.keys.partitions)
        ),
        return_exceptions=True,
    )
    due_now: list[Place] = []
    for places in found:
        if isinstance(places, StoreError):
            UNREAD.inc()
        elif isinstance(places, BaseException):
            raise places
        else:
            due_now += places
    if due_now:
        await _divide(resources, deliveries, due_now)


async def _divide(resources: Resources, deliveries: Deliveries, places: Sequence[Place]) -> None:
    standings = await deliveries.standings({endpoint_of(place.delivery) for place in places})
    shares = share(
        places,
        standings,
        connections=resources.settings.webhook_connections,
        random_share=random.random,
    )
    await resources.send([TaskCall(DELIVER, place) for place in shares.send])
    await asyncio.gather(*(deliveries.postpone(place, wait_s) for place, wait_s in shares.postpone))
    EXCEEDING.inc(len(shares.postpone))


every(DUE, DUE_S)


@asynccontextmanager
async def open_consequence(resources: Resources) -> AsyncIterator[Consequence]:
    """What follows from an event; the file of endpoints is followed, and the backlog measured, meanwhile.

    Raises:
        SettingsError: The file of endpoints cannot be used.
    """
    file = EndpointFile(resources.settings)
    await file.open()
    keys, most_bytes = resources.keys, resources.settings.webhook_body_bytes

    def follow(event: OutboxEvent) -> Plan:
        return plan(event, file.endpoints, keys.shared(event.partition), most_bytes=most_bytes)

    async with TaskScope() as tasks:
        tasks.spawn(file.follow(), name="webhook endpoints")
        tasks.spawn(_measure(Deliveries(resources.client, keys)), name="measure webhooks")
        yield follow


async def check(settings: WebhookSettings) -> None:
    """Read the file of endpoints once.

    Raises:
        SettingsError: It cannot be used.
    """
    await EndpointFile(settings).open()


def _open_webhooks(resources: Resources) -> AbstractAsyncContextManager[Webhooks]:
    return open_webhooks(resources.settings, Deliveries(resources.client, resources.keys))


async def _measure(deliveries: Deliveries) -> NoReturn:
    while True:
        try:
            backlog = await deliveries.backlog()
        except StoreError as error:
            log.debug("webhooks not measured", error=str(error))
        else:
            PENDING.set(backlog.pending)
            DUE_NOW.set(backlog.due)
            OLDEST_DUE.set(max(time.time() - backlog.oldest_due_ms / 1000, 0.0) if backlog.due else 0.0)
            DEAD.set(backlog.dead)
        await asyncio.sleep(MEASURE_S)
