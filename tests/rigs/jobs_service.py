"""The jobs service as processes, with the jobs of ``tests/rigs/jobs.py``."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tests.rigs.eventually import eventually
from tests.rigs.metrics import scraped

from relay_cli.stack import Child
from relay_jobs.celery_app import celery_app
from relay_jobs.sender import Message, TaskSender
from relay_redis.client import RedisClient
from relay_settings.jobs import JobsSettings
from relay_streams.scripts import SCHEMA

PROGRAM = Path(__file__).with_name("jobs.py")
QUICK = {
    "jobs_concurrency": 2,
    "jobs_pulse_s": 0.3,
    "jobs_limit_s": 5.0,
    "drain_s": 5.0,
    "log_level": "debug",
}
"""Settings with which nothing waits for long."""


class JobsChild(Child):
    """One process of the service."""

    @property
    def _command(self) -> list[str]:
        return [sys.executable, str(PROGRAM), self._service]


@dataclass
class JobsRig:
    """A store, a broker, and processes of the service as needed."""

    store: Any
    settings: JobsSettings
    environment: dict[str, str]
    sender: TaskSender
    broker: RedisClient
    http: aiohttp.ClientSession
    directory: Path
    stack: AsyncExitStack

    async def start(self, role: str, **settings: Any) -> JobsChild:
        """Start a process; it ends with the rig."""
        name = f"{role}-{len(list(self.directory.glob('*.log')))}"
        child = JobsChild(name, role, self.environment | _variables(settings), self.directory)
        self.stack.push_async_callback(child.stop)
        await child.start()
        return child

    async def worker(self, **settings: Any) -> JobsChild:
        """Start a worker, and wait until it runs tasks."""
        child = await self.start("worker", **settings)
        await self.until_ready(child)
        return child

    async def until_ready(self, child: JobsChild) -> None:
        """Wait until a process is ready."""
        await eventually(lambda: self.status(child, "readyz"), 40, until=lambda status: status == 200)

    async def status(self, child: JobsChild, path: str) -> int:
        """The answer of a process's health path."""
        async with self.http.get(f"{child.admin}/{path}") as response:
            return response.status

    async def send(self, task: str, *args: str | int) -> None:
        """Send a task."""
        assert await self.sender.send([Message(task, args)]) == 1

    async def notes(self, key: str = "test:notes") -> list[str]:
        """What jobs have written into a list."""
        return [note.decode() for note in await self.store.client.execute("LRANGE", key, 0, -1)]

    async def until_notes(self, *wanted: str, key: str = "test:notes", within_s: float = 30) -> None:
        """Wait until jobs have written these."""
        await eventually(lambda: self.notes(key), within_s, until=lambda found: set(wanted) <= set(found))

    async def until_began(self, key: str, count: int = 1, within_s: float = 30) -> int:
        """Wait until a task that waits for a key has begun so many times; returns its process then."""
        began = await eventually(
            lambda: self.notes(f"{key}:began"), within_s, until=lambda found: len(found) >= count
        )
        return int(began[-1])

    async def metric(self, child: JobsChild, name: str, **labels: str) -> float:
        """The sum of a metric's series."""
        return await scraped(self.http, [child.admin], name, **labels)


@asynccontextmanager
async def open_jobs(store: Any, directory: Path, **settings: Any) -> AsyncIterator[JobsRig]:
    """The service at a clean store; ``settings`` are those of all its processes."""
    values = {"redis_url": store.url, **QUICK, **settings}
    loaded = JobsSettings.load(**values)
    sender = TaskSender(celery_app(loaded), loaded)
    async with (
        AsyncExitStack() as stack,
        RedisClient(loaded.broker_url, SCHEMA, name="broker") as broker,
        aiohttp.ClientSession() as http,
    ):
        stack.push_async_callback(sender.close)
        yield JobsRig(store, loaded, _variables(values), sender, broker, http, directory, stack)


def _variables(settings: dict[str, Any]) -> dict[str, str]:
    return {"RELAY_LOG_FORMAT": "json"} | {
        JobsSettings.variable(name): str(value) for name, value in settings.items()
    }
