"""The ingest process: a worker with its connections to Redis and its loops."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay_ingest.agents.registry import AgentRegistry
from relay_ingest.motion.vendor import Vendor
from relay_ingest.worker import Worker
from relay_redis.client import RedisClient
from relay_redis.pubsub import PubSub
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.ingest import IngestSettings
from relay_streams.consumer import StreamConsumer
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation, installed
from relay_streams.keys import KeySpace
from relay_streams.outbox_metrics import ENABLED
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.permissions import needed


def _unique_name() -> str:
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def worker(settings: IngestSettings) -> AsyncIterator[Worker]:
    """A worker with its connections to Redis, claiming conversations while the block runs."""
    url, timeout_s, keys = settings.store_url, settings.redis_timeout_s, KeySpace.of(settings)
    agents = await asyncio.to_thread(AgentRegistry, settings)
    await asyncio.to_thread(Vendor.load)
    ENABLED.set(settings.jobs)
    async with (
        RedisClient(url, SCHEMA, name="ingest", timeout_s=timeout_s) as client,
        installed(client, keys, timeout_s=timeout_s) as installation,
        Publisher(
            url,
            timeout_s=timeout_s,
            retention_bytes=settings.retention_bytes,
            republish_bytes=settings.republish_bytes,
            outbox_entries=settings.outbox_entries,
        ) as publisher,
        StreamConsumer(url, name="ingest", timeout_s=timeout_s) as consumer,
        Heartbeat(
            keys,
            (client, publisher.client, consumer.client),
            (consumer.pubsub,),
            interval_s=settings.redis_heartbeat_s,
            timeout_s=timeout_s,
            commands=needed(jobs=settings.jobs),
        ) as heartbeat,
        TaskScope() as tasks,
    ):
        service = Worker(
            settings,
            name=settings.worker_name or _unique_name(),
            installation=installation,
            heartbeat=heartbeat,
            client=client,
            consumer=consumer,
            publisher=publisher,
            vendor=Vendor(settings),
            agents=agents,
            tasks=tasks,
        )
        async with (
            PubSub(url, service.on_notification, name="ingest-queue", timeout_s=timeout_s) as pubsub,
            TaskScope() as loops,
        ):
            heartbeat.watch(pubsub)
            loops.spawn(_start(service, pubsub, loops, installation), name="start")
            yield service
            await service.drain()


async def _start(service: Worker, pubsub: PubSub, loops: TaskScope, installation: Installation) -> None:
    # With other constants than the relay's it would claim conversations from wrong queues.
    await installation.agreed.wait()
    for unowned in service.queues:
        pubsub.subscribe(unowned)
    loops.spawn(service.claim(), name="claim")
    loops.spawn(service.scan(), name="scan")
    loops.spawn(service.renew(), name="renew")
    loops.spawn(service.upkeep.run(), name="upkeep")


async def main(settings: IngestSettings, process: Process) -> None:
    """Own conversations until the process has to stop."""
    async with worker(settings) as service:
        process.health.add("redis", service.readiness, service.heartbeat.degradation)
        process.health.expose_demand(service.demand)
        await process.ready_after(service.heartbeat.wait_reached(), worker=service.name)
        await process.stopping()
