"""The Celery app: every job as a task, and how tasks travel.

A task is a hint that work may be due; the store has the work. So no result is kept, nothing is sent with a
delay, and a task that is lost, late or repeated changes nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from celery import Celery, Task
from kombu import Connection, Queue

from relay_jobs.broker import Broker
from relay_jobs.job import JOBS, TICKS
from relay_jobs.task_metrics import PULSE
from relay_settings.jobs import KILL_S, JobsSettings

QUEUE: Final = "tasks"
"""The queue of the tasks that follow from events."""
TRACE_HEADER: Final = "relay_trace"
"""The header of a task with its trace context, as ``Context.encode``."""
_PULSE_EXPIRES_S: Final = 60.0
"""Time after which the broker deletes the queue of a worker that has ended."""
_RECONNECT_S: Final = 5.0
"""Longest wait between two attempts of a worker to reach the broker."""

Runner = Callable[..., None]
"""Runs a task: its name, its id, its trace context, whether the broker has delivered it before, and its
arguments. Blocks until it has ended."""


def tick_queue(name: str) -> str:
    """The queue of one tick: of its own, so that a tick that waits can be replaced."""
    return f"tick.{name}"


def pulse_queue(worker: str) -> Queue:
    """The queue of one worker's pulse."""
    return Queue(f"pulse.{worker}", routing_key=f"pulse.{worker}", expires=_PULSE_EXPIRES_S)


def queues(worker: str) -> list[Queue]:
    """The queues that a worker consumes from."""
    return [Queue(QUEUE), *(Queue(tick_queue(name)) for name in sorted(TICKS)), pulse_queue(worker)]


def celery_app(settings: JobsSettings, run: Runner | None = None) -> Celery:
    """The app of one process.

    Args:
        settings: The settings.
        run: Runs a task, in processes that run tasks; None elsewhere.

    Raises:
        SettingsError: Celery cannot use the broker.
    """
    broker = Broker.of(settings)
    app = Celery("relay", set_as_current=False)
    app.conf.update(
        broker_url=broker.url,
        broker_use_ssl=broker.tls,
        broker_transport_options=dict(broker.options),
        broker_connection_timeout=settings.jobs_broker_timeout_s,
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_pool_limit=2,
        result_backend="disabled://",
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.jobs_concurrency,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_lost_wait=1.0,
        worker_proc_alive_timeout=settings.jobs_start_s,
        worker_send_task_events=False,
    )
    if broker.credentials is not None:
        app.amqp.Connection = partial(Connection, credential_provider=broker.credentials)
    if run is not None:
        for job in JOBS.values():
            _add(app, job.name, min(job.limit_s, settings.jobs_limit_s) + KILL_S, run)
        _add(app, PULSE, KILL_S, run)
    return app


def _add(app: Celery, name: str, kill_s: float, run: Runner) -> None:
    def task(self: Task, *arguments: Any) -> None:
        request = self.request
        run(name, request.id, request.get(TRACE_HEADER) or "", bool(_redelivered(self)), arguments)

    app.task(bind=True, name=name, time_limit=kill_s)(task)


def _redelivered(task: Task) -> Any:
    return (task.request.delivery_info or {}).get("redelivered")
