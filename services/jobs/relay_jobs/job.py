"""Jobs: what runs as a task, by name, and the ticks of beat that start it. It is independent of Celery."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from relay_jobs.consequences import TaskCall
from relay_redis.client import RedisClient
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace

T = TypeVar("T")
P = ParamSpec("P")


Send = Callable[[Sequence[TaskCall]], Awaitable[object]]
"""Sends tasks, as far as the broker takes them; raises nothing."""


async def send_nothing(_calls: Sequence[TaskCall]) -> None:
    """Send no task: where there is no broker. The store has the work, and the next tick finds it."""


class Resources:
    """What jobs use: opened once in each process that runs tasks, on its event loop.

    Args:
        settings: The settings.
        client: For the relay's Redis.
        keys: The names of its keys.
        stack: Closes what ``opened`` has opened.
        send: Sends tasks: of work that a tick has found.
    """

    def __init__(
        self,
        settings: JobsSettings,
        client: RedisClient,
        keys: KeySpace,
        stack: AsyncExitStack,
        send: Send = send_nothing,
    ) -> None:
        self.settings = settings
        self.client = client
        self.keys = keys
        self.send = send
        self._stack = stack
        self._opened: dict[Any, Any] = {}

    async def opened(self, factory: Callable[["Resources"], AbstractAsyncContextManager[T]]) -> T:
        """What a factory makes, entered at its first use, for all jobs of the process; closed at its end.

        Raises what entering it raises; the next call tries again.
        """
        if factory not in self._opened:
            made = await self._stack.enter_async_context(factory(self))
            # Another job may have been first meanwhile: both are closed at the end, one is used.
            self._opened.setdefault(factory, made)
        found: T = self._opened[factory]
        return found


class Job(NamedTuple):
    """What runs as a task."""

    name: str
    run: Callable[..., Awaitable[None]]
    """Called with the resources and the task's arguments. It is safe to repeat: it claims its work in the
    store, so that one of several runs does it."""
    limit_s: float
    """Time after which it is cancelled; at most ``RELAY_JOBS_LIMIT_S``."""


class Tick(NamedTuple):
    """A job that beat starts periodically."""

    name: str
    interval_s: Callable[[JobsSettings], float]


JOBS: dict[str, Job] = {}
"""Every job, by name. Filled by the import of ``parts``."""
TICKS: dict[str, Tick] = {}
"""Every tick, by the name of its job."""


def job(
    name: str, *, limit_s: float
) -> Callable[
    [Callable[Concatenate[Resources, P], Awaitable[None]]],
    Callable[Concatenate[Resources, P], Awaitable[None]],
]:
    """Register a coroutine function as a job.

    It runs with the resources and the arguments of the task, texts and numbers. It must be safe to repeat,
    also beside itself. At its limit it is cancelled; when it does not end then, its process is killed.
    An exception is logged and counted; the task is not repeated for it: what is due stays in the store.

    Args:
        name: ``<part>.<verb>``; of the task, and of the label in metrics.
        limit_s: Time after which it is cancelled.

    Raises:
        ValueError: The name is taken.
    """

    def register(
        run: Callable[Concatenate[Resources, P], Awaitable[None]],
    ) -> Callable[Concatenate[Resources, P], Awaitable[None]]:
        if name in JOBS:
            raise ValueError(f"there is a job {name} already")
        JOBS[name] = Job(name, run, limit_s)
        return run

    return register


def every(name: str, seconds: float | Callable[[JobsSettings], float]) -> None:
    """Have beat start a job, without arguments, once per interval in the whole relay.

    A tick that still waits for a worker is replaced by the next one.

    Args:
        name: The job's.
        seconds: The interval, or what reads it from the settings.

    Raises:
        ValueError: The job has an interval already.
    """
    if name in TICKS:
        raise ValueError(f"the job {name} has an interval already")
    TICKS[name] = Tick(name, seconds if callable(seconds) else lambda _settings: seconds)
