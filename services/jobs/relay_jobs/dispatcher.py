"""The dispatcher: reads the outbox, writes what follows from each event, and sends the tasks for it.

An event is consumed and its consequences are written in one step, so that nothing is lost or done twice.
Tasks leave after that, in a thread: a broker that is away delays no event.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Gauge

from relay_jobs.consequences import Consequence, join
from relay_jobs.sender import Message, TaskSender
from relay_jobs.task_metrics import TASKS, UNSENT
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_settings.jobs import JobsSettings
from relay_streams.outbox import OutboxConsumer, OutboxEvent
from relay_telemetry.counter import counter

STALLED_S = 60.0
"""Time without a read, failed or not, after which the process counts as dead."""
MEASURE_S = 5.0
"""Between two measurements of what waits."""
_FAILED_S = 1.0
"""Between two reads while Redis cannot be read."""
_SEND_TASKS = 500
"""Most tasks of one call to the broker."""

_TYPES = (
    "conversation.started", "conversation.ended", "conversation.degraded", "conversation.recovered",
    "turn.ended", "clip.requested", "clip.ready", "clip.failed", "motion.opened", "motion.closed",
    "viewers.watched",
)  # fmt: skip
_OTHER = "other"

EVENTS = counter(
    "relay_jobs_events_total",
    "Events of the outbox that this dispatcher has consumed.",
    type=(*_TYPES, _OTHER),
)
DEFECTS = Counter(
    "relay_jobs_dispatch_defects_total",
    "Attempts at an event whose consequences could not be computed or written; it stays in the outbox.",
)
WAITING = Gauge("relay_jobs_outbox_entries", "Events that wait in the outbox; the same at every dispatcher.")
OLDEST = Gauge(
    "relay_jobs_outbox_oldest_seconds",
    "Age of the oldest of them, 0 without any; the same at every dispatcher.",
)
DISCARDED = Counter(
    "relay_jobs_outbox_discarded_total",
    "Events that the bound of the outbox has discarded; the same at every dispatcher.",
)

log = structlog.get_logger(__name__)


class Dispatcher:
    """Consumes the events of all partitions, beside other dispatchers.

    Args:
        settings: The settings.
        consumer: Reads and consumes events.
        consequences: What follows from an event, by part.
        sender: Sends tasks.
    """

    def __init__(
        self,
        settings: JobsSettings,
        consumer: OutboxConsumer,
        consequences: Sequence[Consequence],
        sender: TaskSender,
    ) -> None:
        self._poll_s = settings.jobs_poll_s
        self._limit = settings.jobs_queue_tasks
        self._consumer = consumer
        self._consequences = consequences
        self._sender = sender
        self._unsent: deque[Message] = deque()
        self._has_tasks = asyncio.Event()
        self._read_at = time.monotonic()
        self._discarded = 0
        self._failure = "the outbox is not read yet"

    async def run(self) -> None:
        """Dispatch until cancelled. An event that is being consumed then is consumed, or read again later."""
        async with TaskScope() as scope:
            scope.spawn(self._send(), name="send tasks")
            scope.spawn(self._measure(), name="measure the outbox")
            while True:
                self._read_at = time.monotonic()
                await asyncio.sleep(await self._dispatch())

    def readiness(self) -> str:
        """Why events are not consumed; empty when they are."""
        return self._failure

    def degradation(self) -> str:
        """Why their tasks are not sent at once; empty when they are."""
        return self._sender.failure

    def liveness(self) -> str:
        """Why only a new process can consume events; empty when this one can."""
        stalled = time.monotonic() - self._read_at > STALLED_S
        return f"the outbox was not read for {STALLED_S:.0f} s" if stalled else ""

    async def _dispatch(self) -> float:
        """Read and consume what is there. Returns how long to wait before the next read."""
        try:
            events = await self._consumer.read()
        except StoreError as error:
            self._failure = f"the outbox cannot be read: {error}"
            return _FAILED_S
        consumed = await asyncio.gather(*map(self._consume, events))
        self._failure = ""
        return 0.0 if any(consumed) else self._poll_s

    async def _consume(self, event: OutboxEvent) -> bool:
        """Consume one event. Returns whether that succeeded; otherwise it is read again later."""
        try:
            plan = join(self._consequences, event)
            if not await self._consumer.consume(event, plan.writes):
                return False
        except StoreError as error:
            log.warning(
                "event not consumed", type=event.type, conversation=event.conversation, error=str(error)
            )
            return False
        except Exception:  # a part's defect must not stop the events of the others
            DEFECTS.inc()
            log.exception("event has no consequences", type=event.type, conversation=event.conversation)
            return False
        EVENTS.labels(event.type if event.type in _TYPES else _OTHER).inc()
        for task in plan.tasks:
            self._enqueue(Message(task.name, task.args, event.trace))
        return True

    def _enqueue(self, message: Message) -> None:
        if len(self._unsent) >= self._limit:
            if message.task in TASKS:
                UNSENT.labels(message.task, "full").inc()
            return
        self._unsent.append(message)
        self._has_tasks.set()

    async def _send(self) -> None:
        while True:
            await self._has_tasks.wait()
            messages = [self._unsent.popleft() for _ in range(min(len(self._unsent), _SEND_TASKS))]
            if not self._unsent:
                self._has_tasks.clear()
            await self._sender.send(messages)

    async def _measure(self) -> None:
        while True:
            try:
                state = await self._consumer.state()
            except StoreError as error:
                log.debug("outbox not measured", error=str(error))
            else:
                WAITING.set(state.waiting)
                OLDEST.set(max(time.time() - state.oldest_ms / 1000, 0.0) if state.waiting else 0.0)
                # The count begins anew where Redis has lost it.
                DISCARDED.inc(state.discarded - self._discarded if state.discarded >= self._discarded else 0)
                self._discarded = state.discarded
            await asyncio.sleep(MEASURE_S)
