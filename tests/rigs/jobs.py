"""Processes of the jobs service beside jobs made for tests: ``python tests/rigs/jobs.py worker [flags]``.

The jobs write into the relay's Redis what has happened to them, below keys of their own.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from relay_jobs.job import Resources, every, job


@job("test.note", limit_s=3)
async def note(resources: Resources, text: str) -> None:
    """Append a text to a list."""
    await resources.client.execute("RPUSH", "test:notes", text)


@job("test.hold", limit_s=3)
async def hold(resources: Resources, key: str) -> None:
    """Note the process, wait until the key is there, note the end."""
    await resources.client.execute("RPUSH", f"{key}:began", os.getpid())
    while not await resources.client.execute("EXISTS", key):
        await asyncio.sleep(0.02)
    await resources.client.execute("RPUSH", f"{key}:ended", os.getpid())


@job("test.fail", limit_s=3)
async def fail(_resources: Resources) -> None:
    """Fail."""
    raise RuntimeError("as planned")


@job("test.block", limit_s=1)
async def block(resources: Resources, key: str) -> None:
    """Block the event loop, which no cancellation ends."""
    await resources.client.execute("RPUSH", f"{key}:began", os.getpid())
    time.sleep(60)  # noqa: ASYNC251  # the subject


@job("test.die", limit_s=3)
async def die(resources: Resources, key: str) -> None:
    """Kill the process."""
    await resources.client.execute("RPUSH", f"{key}:began", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


@job("test.tick", limit_s=3)
async def tick(resources: Resources) -> None:
    """Count a tick."""
    await resources.client.execute("INCR", "test:ticks")


every("test.tick", 0.5)


def main() -> None:
    """Run a process of the service, or the child of a worker."""
    from relay_jobs import __main__, child, worker

    # The child must know these jobs, too.
    worker.CHILD = (sys.executable, str(Path(__file__).resolve()), os.environ.get("RIG_CHILD", "child"))
    if sys.argv[1] == "child":
        del sys.argv[1]
        time.sleep(float(os.environ.get("RIG_CHILD_START_S", "0")))
        child.main()
    else:
        __main__.main()


if __name__ == "__main__":
    main()
