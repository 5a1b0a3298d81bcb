"""The task runner: one process that runs tasks, on an event loop of its own thread, with its resources.

Made after the fork, since neither threads nor connections survive one.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress

import structlog
import uvloop

from relay_jobs.celery_app import celery_app
from relay_jobs.consequences import TaskCall
from relay_jobs.job import JOBS, Job, Resources
from relay_jobs.sender import Message, TaskSender
from relay_jobs.task_metrics import ENDED, SECONDS, STARTED
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_streams.task_deliveries import count_again
from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import Context

log = structlog.get_logger(__name__)

MOST_AGAIN = 3
"""How often a task runs after its first delivery; then it is abandoned, and a tick finds its work."""

Argument = str | int


class TaskRunner:
    """Runs the tasks of one process, one after the other. ``start``, ``run``, then ``close``.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: JobsSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resources: Resources | None = None
        self._is_open, self._is_closing = asyncio.Event(), asyncio.Event()
        self._held: Future[None] | None = None

    def start(self) -> None:
        """Start the thread of the event loop, and open the resources there."""
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True).start()
        self._held = asyncio.run_coroutine_threadsafe(self._hold(), self._loop)

    def run(
        self, name: str, trace: Context, arguments: tuple[Argument, ...], *, redelivered: str = ""
    ) -> None:
        """Run a task to its end. Raises nothing: how it ended is logged and counted.

        Args:
            name: The job's.
            trace: What the task continues.
            arguments: Its arguments.
            redelivered: The id of a task that the broker has delivered before; empty: it has not.
        """
        assert self._loop is not None  # noqa: S101  # start was called
        asyncio.run_coroutine_threadsafe(
            self._run(JOBS[name], trace, arguments, redelivered), self._loop
        ).result()

    def close(self) -> None:
        """Close the resources and end the thread."""
        if self._loop is not None and self._held is not None:
            self._loop.call_soon_threadsafe(self._is_closing.set)
            with suppress(TimeoutError):
                self._held.result(self._settings.redis_timeout_s)
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _hold(self) -> None:
        """Keep the resources open until ``close``.

        A task of its own opens and closes them, so that their background tasks have the context of no job.
        """
        try:
            async with AsyncExitStack() as stack:
                self._resources = await self._open(stack)
                self._is_open.set()
                await self._is_closing.wait()
        except Exception:  # the root of a task
            log.exception("resources of tasks failed")

    async def _run(self, job: Job, trace: Context, arguments: tuple[Argument, ...], redelivered: str) -> None:
        context = traces.child(trace) if trace else trace
        structlog.contextvars.bind_contextvars(
            task=job.name, **({"trace_id": context.trace_id} if context.sampled else {})
        )
        STARTED.labels(job.name, "again" if redelivered else "first").inc()
        start_ns, start_s = time.time_ns(), time.monotonic()
        limit_s = min(job.limit_s, self._settings.jobs_limit_s)
        outcome, error = "done", ""
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                await self._is_open.wait()
                if redelivered and await self._count_again(redelivered) > MOST_AGAIN:
                    outcome = error = "abandoned"
                    log.error("task abandoned", task_id=redelivered, runs=1 + MOST_AGAIN)
                else:
                    await job.run(self._resources, *arguments)
        except TimeoutError as failure:
            outcome, error = ("timeout" if limit.expired() else "failed"), type(failure).__name__
            log.warning("task has exceeded its time limit", limit_s=limit_s)
        except Exception as failure:  # the root of a task
            outcome, error = "failed", type(failure).__name__
            log.exception("task failed")
        seconds = time.monotonic() - start_s
        ENDED.labels(job.name, outcome).inc()
        SECONDS.labels(job.name).observe(seconds)
        log.debug("task ended", outcome=outcome, seconds=round(seconds, 3))
        if context:
            traces.record(
                semconv.PROCESS_TASK,
                kind=traces.SpanKind.CONSUMER,
                parent=trace,
                context=context,
                start_ns=start_ns,
                end_ns=time.time_ns(),
                attributes={**semconv.processes("tasks"), semconv.TASK: job.name},
                error=error,
            )

    async def _count_again(self, task: str) -> int:
        """Count a further delivery of a task, which may kill its process each time; 0 while Redis is away."""
        assert self._resources is not None  # noqa: S101  # it is open
        try:
            return await count_again(self._resources.client, self._resources.keys, task)
        except StoreError:
            return 0

    async def _open(self, stack: AsyncExitStack) -> Resources:
        settings = self._settings
        client = await stack.enter_async_context(
            RedisClient(settings.store_url, SCHEMA, name="jobs-task", timeout_s=settings.redis_timeout_s)
        )
        sender = TaskSender(celery_app(settings), settings)
        stack.push_async_callback(sender.close)

        async def send(calls: Sequence[TaskCall]) -> None:
            await sender.send([Message(call.name, call.args) for call in calls])

        return Resources(settings, client, KeySpace.of(settings), stack, send)
