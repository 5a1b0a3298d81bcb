"""The worker: the supervisor of Celery's worker, which it restarts when that makes no progress.

A process that runs proves nothing: a worker of Celery whose connection to the broker was cut may live on,
answer pings, and consume nothing. So the supervisor sends a task to its own worker every few seconds.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from relay_jobs.activity import Activity
from relay_jobs.celery_app import pulse_queue
from relay_jobs.metrics_files import FOLDER_VARIABLE
from relay_jobs.pulse import Pulse
from relay_jobs.sender import Message, TaskSender
from relay_jobs.task_metrics import PULSE
from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment
from relay_settings.jobs import JobsSettings
from relay_telemetry import logs
from relay_telemetry.counter import counter

CHILD: Sequence[str] = (sys.executable, "-m", "relay_jobs.child")
"""The command of the child, before the worker's name, the folder of its activity and its flags."""
RESTARTS = 3
"""How many restarts without an answered pulse show that restarts do not help."""
_PAUSE_S = 1.0
"""Between the end of a child and the start of the next."""
_QUIT_S = 5.0
"""How long a child may take to return its tasks to the broker after the time of the drain."""
_LOOK_S = 0.25

RESTARTED = counter(
    "relay_jobs_worker_restarts_total",
    "Starts of Celery's worker after the first: it answered no pulse, or had ended.",
    reason=("stalled", "ended"),
)

log = structlog.get_logger(__name__)


class Worker:
    """One worker. ``run`` it until it is cancelled; then ``drain``.

    Args:
        settings: The settings.
        flags: Those that the settings were read from.
        name: Unique among living workers.
        sender: Sends the pulses.
        activity: The folder that its processes write into.
        metrics: The folder of their metrics.
    """

    def __init__(
        self,
        settings: JobsSettings,
        *,
        flags: Sequence[str],
        name: str,
        sender: TaskSender,
        activity: Path,
        metrics: Path,
    ) -> None:
        self.name = name
        self._settings = settings
        self._command = (*CHILD, name, str(activity), *flags)
        self._queue = pulse_queue(name).name
        self._sender = sender
        self._activity = Activity(activity)
        self._metrics = metrics
        self._pulse = Pulse(stalled_s=settings.jobs_stalled_s, start_s=settings.jobs_start_s)
        self._process: Process | None = None
        self._restarts = 0
        self._next_pulse_s = 0.0
        self._level = ""

    def readiness(self) -> str:
        """Why no tasks run; empty when they do."""
        if self._sender.failure:
            return self._sender.failure
        if self._process is None or not self._activity.answered:
            return "Celery's worker starts"
        return ""

    def liveness(self) -> str:
        """Why only a new process can run tasks; empty when this one can."""
        return "Celery's worker answers no pulse" if self._restarts >= RESTARTS else ""

    async def run(self) -> None:
        """Keep the child running. Runs until cancelled, which leaves the child as it is."""
        reason = ""
        while True:
            if reason:
                RESTARTED.labels(reason).inc()
                self._restarts += 1
                await asyncio.sleep(_PAUSE_S)
            await self._start()
            reason = await self._watch()
            await self._end()

    async def drain(self) -> None:
        """End the child: its tasks have the time of the drain, then they return to the broker."""
        await self._end(self._settings.drain_s)

    async def _start(self) -> None:
        self._activity.clear()
        self._level = ""
        self._share_level()
        self._pulse.restart()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=DEVNULL,
            env=child_environment({FOLDER_VARIABLE: str(self._metrics)}),
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        log.info("celery worker started", pid=self._process.pid)

    async def _watch(self) -> str:
        """Wait until the child has to be started anew; returns the reason."""
        while True:
            process = self._process
            assert process is not None  # noqa: S101  # it was started
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    status = await process.wait()
                    log.warning("celery worker has ended", status=status)
                    return "ended"
            self._share_level()
            await self._beat()
            if self._pulse.stalled(time.monotonic()):
                log.warning("celery worker makes no progress", stalled_s=self._settings.jobs_stalled_s)
                return "stalled"

    def _share_level(self) -> None:
        level = logs.level()
        if level != self._level:
            with suppress(OSError):  # the next look tries again
                self._activity.set_level(level)
                self._level = level

    async def _beat(self) -> None:
        now, answered = time.monotonic(), self._activity.answered
        if answered == self._pulse.number > 0:
            self._restarts = 0
        all_busy = self._activity.busy() >= self._settings.jobs_concurrency
        self._pulse.observe(now, answered=answered, all_busy=all_busy)
        if now >= self._next_pulse_s:
            self._next_pulse_s = now + self._settings.jobs_pulse_s
            if await self._sender.replace(self._queue, Message(PULSE, (self._pulse.next(),))):
                self._pulse.sent(now)
            else:
                self._pulse.unsent()

    async def _end(self, drain_s: float = 0.0) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        for number, wait_s in ((signal.SIGTERM, drain_s), (signal.SIGQUIT, _QUIT_S)):
            if wait_s:
                with suppress(TimeoutError, ProcessLookupError):
                    process.send_signal(number)
                    async with asyncio.timeout(wait_s):
                        await process.wait()
                        break
        # Also its processes, which outlive it for a moment.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
