"""The sender: sends tasks to the broker from a thread, in bounded time and without retries.

What is not sent is counted and discarded here: the store has the work, and the next tick of beat finds it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

import structlog
from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import KombuError

from relay_jobs.broker import Broker
from relay_jobs.celery_app import QUEUE, TRACE_HEADER
from relay_jobs.task_metrics import SENT, TASKS, UNSENT
from relay_settings.jobs import JobsSettings
from relay_telemetry import semconv, traces
from relay_telemetry.trace_context import NO_TRACE, Context

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Message(NamedTuple):
    """One task to send."""

    task: str
    args: tuple[str | int, ...] = ()
    trace: Context = NO_TRACE
    """What the task continues."""


class TaskSender:
    """Sends tasks. Make it, send, ``close`` it at the end.

    Args:
        app: The app.
        settings: The settings.
        queues: Queues that are declared with options of their own.
    """

    def __init__(self, app: Celery, settings: JobsSettings, queues: Iterable[Queue] = ()) -> None:
        self._app = app
        self._limit = settings.jobs_queue_tasks
        self._queues = {queue.name: queue for queue in queues}
        self._where = Broker.of(settings).where
        self._connection: Connection | None = None
        # One thread: a call that was cancelled ends before the next uses the connection.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="broker")
        self.failure = ""
        """Why the last call could not send, for people; empty when it could."""

    async def send(self, messages: Sequence[Message]) -> int:
        """Send tasks in their order, as far as the queue has room. Returns how many were sent.

        Raises nothing: what is not sent is counted. A cancelled call may still send.
        """
        return await self._in_thread(self._send, messages)

    async def replace(self, queue: str, message: Message) -> bool:
        """Send a task in place of those that wait in its queue. Returns whether it was sent."""
        return await self._in_thread(self._replace, queue, message)

    async def close(self) -> None:
        """Close the connection."""
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        # With the context of the caller, which has what every line of the log has.
        run = partial(copy_context().run, function, *args)
        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _send(self, messages: Sequence[Message]) -> int:
        sent, room = 0, len(messages)

        def send(connection: Connection) -> None:
            nonlocal sent, room
            waiting = connection.default_channel._size(QUEUE)  # noqa: SLF001  # virtual channels have no other
            room = max(self._limit - waiting, 0)
            for message in messages[:room]:
                self._publish(connection, message, QUEUE)
                sent += 1

        self._attempt(send)
        _count(messages[room:], "full")
        _count(messages[sent:room], "broker")
        return sent

    def _replace(self, queue: str, message: Message) -> bool:
        def replace(connection: Connection) -> None:
            connection.default_channel.queue_purge(queue)
            self._publish(connection, message, self._queues.get(queue, queue))

        sent = self._attempt(replace)
        if not sent:
            _count([message], "broker")
        return sent

    def _attempt(self, act: Callable[[Connection], None]) -> bool:
        connection = self._connection or self._app.connection_for_write()
        self._connection = connection
        try:
            act(connection)
        except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            if not self.failure:
                log.warning("broker does not accept tasks", error=type(error).__name__, broker=self._where)
            self.failure = f"the broker at {self._where} does not accept tasks: {type(error).__name__}"
            self._close()
            return False
        if self.failure:
            log.info("broker accepts tasks", broker=self._where)
        self.failure = ""
        return True

    def _publish(self, connection: Connection, message: Message, queue: str | Queue) -> None:
        start_ns = time.time_ns()
        context = traces.child(message.trace) if message.trace else NO_TRACE
        self._app.send_task(
            message.task,
            args=message.args,
            connection=connection,
            queue=queue,
            retry=False,
            ignore_result=True,
            headers={TRACE_HEADER: context.encode()} if context else None,
        )
        if message.task in TASKS:
            SENT.labels(message.task).inc()
        if context:
            traces.record(
                semconv.SEND_TASK,
                kind=traces.SpanKind.PRODUCER,
                parent=message.trace,
                context=context,
                start_ns=start_ns,
                end_ns=time.time_ns(),
                attributes={**semconv.sends(QUEUE), semconv.TASK: message.task},
            )

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(KombuError, OSError, *connection.connection_errors, *connection.channel_errors):
                connection.close()


def _count(messages: Iterable[Message], reason: str) -> None:
    for message in messages:
        if message.task in TASKS:
            UNSENT.labels(message.task, reason).inc()
