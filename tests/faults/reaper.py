"""The reaper beside a lab: the job of the jobs service, which a process of its own runs again and again.

Beat and the broker only decide when it runs, so they have no part in a fault. As a program, this file is that
process; its first line is written once it has looked at a key, its last line is what it has reaped.
"""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import uvloop

from relay_jobs.job import Resources
from relay_jobs.reaper.reap import KEYS, REAPED, reap
from relay_redis.client import RedisClient
from relay_settings.environment import child_environment
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_telemetry import logs
from relay_telemetry.counter import declared

SETTINGS = {
    "RELAY_CONVERSATION_TTL_S": "8",
    "RELAY_REAPER_S": "0.25",
    "RELAY_REAPER_GONE_S": "5",
    "RELAY_JOBS_BROKER_URL": "redis://127.0.0.1:1",
}
"""Far shorter than any relay has them: whatever lives and looks idle for seconds would be ended."""
PRESENCE = {"RELAY_PRESENCE_S": "2"}
"""Of the gateways: several times per time-to-live."""


class Reaper:
    """The process. Made by ``reaping``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._has_looked = False

    async def looked(self, within_s: float) -> None:
        """Return once it has looked at a key, or after this time: it begins seconds after its connection."""
        assert self._process.stdout is not None
        with suppress(TimeoutError):
            if not self._has_looked:
                await asyncio.wait_for(self._process.stdout.readline(), within_s)
                self._has_looked = True

    async def stop(self) -> dict[str, int]:
        """End it; what it has looked at and reaped, by kind."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        output, _ = await self._process.communicate()
        counts: dict[str, int] = json.loads(output.splitlines()[-1])
        return counts


@asynccontextmanager
async def reaping(settings: Mapping[str, str]) -> AsyncIterator[Reaper]:
    """Reap until the block ends; ``settings`` are those of the relay's processes."""
    environment = child_environment({**settings, **SETTINGS})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.reaper", stdout=PIPE, env=environment
    )
    try:
        yield Reaper(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _run() -> None:
    settings, ended = JobsSettings.load(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with (
        RedisClient(settings.store_url, SCHEMA, name="reaper", timeout_s=settings.redis_timeout_s) as client,
        AsyncExitStack() as stack,
    ):
        resources, looked = Resources(settings, client, KeySpace.of(settings), stack), False
        while not ended.is_set():
            await reap(resources)
            if not looked and KEYS._value.get():
                looked = True
                print("looked", flush=True)  # noqa: T201  # for the lab
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), settings.reaper_s)
    counts = {kind: int(REAPED.labels(kind)._value.get()) for kind in declared(REAPED)["kind"]}
    print(json.dumps({"keys": int(KEYS._value.get()), **counts}))  # noqa: T201  # for the lab


if __name__ == "__main__":
    logs.configure("reaper", level="warning", style="console")
    uvloop.run(_run())
