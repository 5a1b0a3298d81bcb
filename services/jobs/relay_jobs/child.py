"""The child of a worker: Celery's own worker, whose processes run the tasks. Started by the supervisor alone.

``python -m relay_jobs.child <name> <folder> [flags]``: the worker's name, the folder of its activity, and the
flags of the settings.
"""

import logging
import os
import signal
import sys
import warnings
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import structlog
from billiard.exceptions import TimeLimitExceeded
from celery import signals
from celery.apps import worker
from celery.exceptions import SecurityWarning

from relay_jobs.activity import Activity
from relay_jobs.celery_app import celery_app, queues
from relay_jobs.task_metrics import ENDED, PULSE, STARTED, TASKS
from relay_jobs.task_runner import TaskRunner
from relay_runtime.parent import end_with_parent
from relay_settings.jobs import JobsSettings
from relay_telemetry import logs, traces
from relay_telemetry.trace_context import Context

SERVICE = "jobs-worker"

_LOST: Final[deque[str]] = deque(maxlen=100)
"""The last tasks that were lost."""

log = structlog.get_logger(__name__)


class Child:
    """The processes of one worker.

    Args:
        settings: The settings.
        name: The worker's.
        activity: Where the processes note what they do.
    """

    def __init__(self, settings: JobsSettings, name: str, activity: Activity) -> None:
        self._settings = settings
        self._name = name
        self._activity = activity
        self._runner = TaskRunner(settings)
        self._spans = ExitStack()

    def serve(self) -> int:
        """Run tasks until SIGTERM, and to the end of those that run then. Returns the exit status."""
        self._log()
        app = celery_app(self._settings, self._run)
        app.conf.task_queues = queues(self._name)
        # Weak references would end with this call.
        signals.setup_logging.connect(_keep_logging, weak=False)
        signals.worker_process_init.connect(self._start_process, weak=False)
        signals.worker_process_shutdown.connect(self._stop_process, weak=False)
        signals.task_failure.connect(_count_lost, weak=False)
        serving = app.Worker(
            hostname=self._name,
            pool="prefork",
            concurrency=self._settings.jobs_concurrency,
            queues=[queue.name for queue in app.conf.task_queues],
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            quiet=True,
        )
        serving.start()
        logs.flush()
        return int(serving.exitcode or 0)

    def _run(self, name: str, task: str, trace: str, again: bool, arguments: tuple[Any, ...]) -> None:  # noqa: FBT001  # a task's fields
        self._follow_level()
        if name == PULSE:
            STARTED.labels(PULSE, "first").inc()
            ENDED.labels(PULSE, "done").inc()
            self._activity.answer(*arguments)
            return
        self._activity.begin()
        try:
            self._runner.run(name, Context.decode(trace), arguments, redelivered=task if again else "")
        finally:
            self._activity.end()

    def _start_process(self, **_: Any) -> None:
        end_with_parent()
        self._log()
        self._follow_level()
        settings = self._settings
        self._spans.enter_context(
            traces.exporting(SERVICE, url=settings.traces_url, ratio=settings.sampled_ratio)
        )
        self._runner.start()

    def _stop_process(self, **_: Any) -> None:
        self._runner.close()
        self._spans.close()
        logs.flush()

    def _follow_level(self) -> None:
        level = self._activity.level
        if level is not None:
            logs.change_level(level)

    def _log(self) -> None:
        settings = self._settings
        logs.configure(
            SERVICE,
            level=settings.log_level,
            style=settings.log_format,
            buffer_bytes=settings.log_buffer_bytes,
            repeats_per_s=settings.log_repeats_per_s,
        )
        # Their INFO lines repeat ours for each task and for each connection.
        for chatty in ("amqp", "billiard", "celery", "kombu"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        # Of a default that is to change, which is set here; and of a super-user's worker, which pickled tasks
        # could do harm with: there are none.
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
        warnings.simplefilter("ignore", SecurityWarning)
        worker.safe_say = _log_text  # else it writes plain text between the lines


def _log_text(text: str, *_: Any) -> None:
    """Log what Celery writes to standard error, the signals that it receives."""
    log.info(text.strip().removeprefix("worker: ").lower())


def _keep_logging(**_: Any) -> None:
    """Celery configures no logging where this signal has a receiver."""


def _count_lost(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """Count a task whose process was killed; runs in the parent of that process.

    Celery reports one that exceeds its time limit twice: for the limit, then for the process.
    """
    if sender.name in TASKS and task_id not in _LOST:
        _LOST.append(task_id)
        ENDED.labels(sender.name, "lost").inc()
        log.warning(
            "task is lost with its process",
            task=sender.name,
            reason="time limit" if isinstance(exception, TimeLimitExceeded) else "killed",
        )


def main() -> None:
    """Run the child."""
    _, name, folder, *flags = sys.argv
    # The supervisor's standard output has one line, which is its own.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = JobsSettings.from_command_line("relay-jobs", flags)
    sys.exit(Child(settings, name, Activity(Path(folder))).serve())


if __name__ == "__main__":
    main()
