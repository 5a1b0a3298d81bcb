"""The processes of the jobs service: dispatcher, worker and beat, each with its connections."""

import asyncio
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from relay_jobs.beat import Beat
from relay_jobs.celery_app import celery_app, pulse_queue
from relay_jobs.dispatcher import Dispatcher
from relay_jobs.job import Resources
from relay_jobs.metrics_files import MergedMetrics
from relay_jobs.parts import check, open_consequences
from relay_jobs.sender import TaskSender
from relay_jobs.worker import Worker
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.jobs import JobsSettings
from relay_streams import job_roles
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation, installed
from relay_streams.keys import KeySpace
from relay_streams.outbox import OutboxConsumer
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.permissions import needed
from relay_streams.ticks import Ticks

_UNREADY_S = 0.5
"""The time between two looks at a process that does not do its work yet."""

log = structlog.get_logger(__name__)


class Store(NamedTuple):
    """A process's connection to the relay's Redis."""

    client: RedisClient
    keys: KeySpace
    installation: Installation
    heartbeat: Heartbeat


@asynccontextmanager
async def _store(settings: JobsSettings, process: Process) -> AsyncIterator[Store]:
    keys, timeout_s = KeySpace.of(settings), settings.redis_timeout_s
    async with (
        RedisClient(settings.store_url, SCHEMA, name="jobs", timeout_s=timeout_s) as client,
        installed(client, keys, timeout_s=timeout_s) as installation,
        Heartbeat(
            keys,
            (client,),
            interval_s=settings.redis_heartbeat_s,
            timeout_s=timeout_s,
            commands=needed(jobs=True),
        ) as heartbeat,
    ):
        process.health.add("installation", installation.readiness)
        process.health.add("redis", heartbeat.readiness, heartbeat.degradation)
        yield Store(client, keys, installation, heartbeat)


async def _announce(store: Store, process: Process, role: str, name: str) -> None:
    """Store periodically that this process does its work, while it does. Runs until cancelled."""
    while True:
        wait_s = _UNREADY_S
        if not process.health.reasons():
            wait_s = job_roles.ANNOUNCE_S
            try:
                await job_roles.announce(store.client, store.keys, role, name)
            except StoreError as error:
                log.debug("role not announced", role=role, error=str(error))
        await asyncio.sleep(wait_s)


async def _run(
    role: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    name: str,
    store: Store,
    process: Process,
    tasks: TaskScope,
) -> None:
    """Work in a role until the process has to stop, once Redis was reached and agrees with the settings."""

    async def start() -> None:
        await store.heartbeat.wait_reached()
        await store.installation.agreed.wait()
        tasks.spawn(work(), name=role)
        tasks.spawn(_announce(store, process, role, name), name="announce")

    await process.ready_after(start(), **{role: name})
    await process.stopping()


@asynccontextmanager
async def _sender(settings: JobsSettings, *queues: str) -> AsyncIterator[TaskSender]:
    sender = TaskSender(celery_app(settings), settings, map(pulse_queue, queues))
    try:
        yield sender
    finally:
        await sender.close()


async def dispatch(settings: JobsSettings, process: Process) -> None:
    """Dispatch events until the process has to stop."""
    if not settings.jobs:
        log.warning("RELAY_JOBS is off here; where it is off, nothing is stored for jobs")
    name = _unique_name()
    async with (
        _store(settings, process) as store,
        _sender(settings) as sender,
        AsyncExitStack() as stack,
        TaskScope() as tasks,
    ):
        consumer = OutboxConsumer(store.client, store.keys, consumer=name)
        opened = await open_consequences(Resources(settings, store.client, store.keys, stack), stack)
        dispatcher = Dispatcher(settings, consumer, opened, sender)
        process.health.add("outbox", dispatcher.readiness, dispatcher.degradation)
        process.health.require(dispatcher.liveness)
        await _run("dispatcher", dispatcher.run, name=name, store=store, process=process, tasks=tasks)


async def beat(settings: JobsSettings, process: Process) -> None:
    """Send ticks until the process has to stop."""
    name = _unique_name()
    async with (
        _store(settings, process) as store,
        _sender(settings) as sender,
        TaskScope() as tasks,
    ):
        sends = Beat(settings, Ticks(store.client, store.keys, beat=name), sender)
        process.health.add("broker", sends.readiness)
        process.health.require(sends.liveness)
        await _run("beat", sends.run, name=name, store=store, process=process, tasks=tasks)


async def work(settings: JobsSettings, process: Process) -> None:
    """Run tasks until the process has to stop."""
    await check(settings)
    name = _unique_name()
    with _folder() as activity, _folder() as metrics:
        registry = CollectorRegistry()
        registry.register(MergedMetrics(REGISTRY, metrics))
        process.health.expose(registry)
        async with _store(settings, process) as store, _sender(settings, name) as sender:
            worker = Worker(
                settings, flags=sys.argv[1:], name=name, sender=sender, activity=activity, metrics=metrics
            )
            process.health.add("tasks", worker.readiness)
            process.health.require(worker.liveness)
            async with TaskScope() as tasks:
                await _run("worker", worker.run, name=name, store=store, process=process, tasks=tasks)
            await worker.drain()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="relay-jobs-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _unique_name() -> str:
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
