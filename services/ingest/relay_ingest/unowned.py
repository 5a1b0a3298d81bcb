"""Unowned conversations: how many wait for an owner, and for how long, as gauges and in the log."""

import time
from collections.abc import Sequence

import structlog
from prometheus_client import Gauge

from relay_runtime.token_bucket import TokenBucket
from relay_streams.leases import Queue

UNOWNED = Gauge(
    "relay_ingest_unowned_conversations", "Conversations that wait for an owner, of the whole relay."
)
UNOWNED_SECONDS = Gauge("relay_ingest_unowned_seconds", "The longest wait of these conversations.")

_LOG_INTERVAL_S = 60.0

log = structlog.get_logger(__name__)


class UnownedMonitor:
    """Reports the queues of all partitions.

    Args:
        warn_after_s: The wait of a conversation that is logged.
    """

    def __init__(self, warn_after_s: float) -> None:
        self._warn_after_s = warn_after_s
        self._lines = TokenBucket(1 / _LOG_INTERVAL_S, 1, time.monotonic())

    def report(self, queues: Sequence[Queue], **context: int) -> None:
        """Set the gauges, and log a wait that is too long, at most once a minute.

        Args:
            queues: The queues of all partitions, as they are now.
            context: For the log.
        """
        oldest_s = max((queue.oldest_s for queue in queues), default=0.0)
        waiting = sum(queue.waiting for queue in queues)
        UNOWNED.set(waiting)
        UNOWNED_SECONDS.set(oldest_s)
        if oldest_s > self._warn_after_s and not self._lines.consume(1, time.monotonic()):
            log.warning("conversations wait for an owner", waiting=waiting, oldest_s=oldest_s, **context)
