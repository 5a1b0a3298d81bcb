"""Metrics of tasks: what was sent and how it ended, by task; every series exists from the start."""

from prometheus_client import Histogram

from relay_jobs.parts import task_names
from relay_telemetry.counter import counter

PULSE = "jobs.pulse"
"""The task that a worker sends to itself; its argument is a number."""
TASKS = (PULSE, *task_names())
"""The values of the label ``task``."""

SENT = counter("relay_jobs_tasks_sent_total", "Tasks sent to the broker.", task=TASKS)
UNSENT = counter(
    "relay_jobs_tasks_unsent_total",
    "Tasks not sent, since the broker was away or too many waited; beat finds their work in the store.",
    task=TASKS,
    reason=("broker", "full"),
)
STARTED = counter(
    "relay_jobs_tasks_started_total",
    "Tasks that a worker has started, by whether the broker had delivered them before.",
    task=TASKS,
    delivery=("first", "again"),
)
ENDED = counter(
    "relay_jobs_tasks_ended_total",
    "Tasks that have ended: done, failed with an exception, cancelled at their time limit, lost with their"
    " process, or abandoned since the broker had delivered them too often.",
    task=TASKS,
    outcome=("done", "failed", "timeout", "lost", "abandoned"),
)
SECONDS = Histogram(
    "relay_jobs_run_seconds",
    "Time that a task took, however it ended.",
    ["task"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600),
)
for task in TASKS:
    SECONDS.labels(task)
