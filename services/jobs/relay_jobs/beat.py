"""Beat: starts jobs periodically, which find in the store what is due.

Any number of beats may run: each tick is claimed in the store, so one of them sends it. A tick that still
waits for a worker is replaced by the next, so that ticks do not pile up while workers are away.
"""

import asyncio

import structlog

from relay_jobs.celery_app import tick_queue
from relay_jobs.job import TICKS, Tick
from relay_jobs.sender import Message, TaskSender
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_settings.jobs import JobsSettings
from relay_streams.ticks import Ticks

RETRY_S = 5.0
"""Longest time between two attempts to claim a tick that another beat has, or that could not be sent."""
STALLED_S = 60.0
"""How late every tick's next attempt may be before the process counts as dead."""

log = structlog.get_logger(__name__)


class Beat:
    """Sends the ticks of all jobs.

    Args:
        settings: The settings.
        ticks: Claims a tick.
        sender: Sends it.
    """

    def __init__(self, settings: JobsSettings, ticks: Ticks, sender: TaskSender) -> None:
        self._settings = settings
        self._ticks = ticks
        self._sender = sender
        self._next_at: dict[str, float] = {}

    async def run(self) -> None:
        """Send ticks until cancelled."""
        async with TaskScope() as scope:
            for tick in TICKS.values():
                scope.spawn(self._repeat(tick), name=f"tick-{tick.name}")
            await asyncio.Event().wait()

    def readiness(self) -> str:
        """Why ticks are not sent; empty when they are."""
        return self._sender.failure

    def liveness(self) -> str:
        """Why only a new process can send ticks; empty when this one can."""
        now = asyncio.get_running_loop().time()
        late = [name for name, at in self._next_at.items() if now - at > STALLED_S]
        return f"ticks are not sent: {', '.join(late)}" if late else ""

    async def _repeat(self, tick: Tick) -> None:
        loop = asyncio.get_running_loop()
        interval_s = tick.interval_s(self._settings)
        while True:
            sent = await self._send(tick, interval_s)
            wait_s = interval_s if sent else min(interval_s / 4, RETRY_S)
            self._next_at[tick.name] = loop.time() + wait_s
            await asyncio.sleep(wait_s)

    async def _send(self, tick: Tick, interval_s: float) -> bool:
        try:
            if not await self._ticks.claim(tick.name, interval_s):
                return False
            if await self._sender.replace(tick_queue(tick.name), Message(tick.name)):
                return True
            await self._ticks.give_up(tick.name)
        except StoreError as error:
            log.debug("tick not claimed", tick=tick.name, error=str(error))
        return False
