"""Waiting: the conversations that have no owner, as gauges and in the log."""

import time
from collections.abc import Iterable

import structlog
from prometheus_client import Gauge

from relay_runtime.token_bucket import TokenBucket
from relay_streams.leases import Queue

UNOWNED = Gauge("relay_ingest_unowned_conversations", "Conversations that wait for an owner, anywhere.")
UNOWNED_SECONDS = Gauge("relay_ingest_unowned_seconds", "How long the first of them has waited.")

_LOG_S = 60.0
"""Between lines that say so."""

log = structlog.get_logger(__name__)


class UnownedMonitor:
    """What waits, of all partitions.

    Args:
        patience_s: How long a conversation may wait before it is logged.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._lines = TokenBucket(1 / _LOG_S, 1, time.monotonic())

    def measure(self, queues: Iterable[Queue], **context: int) -> None:
        """Take in the queues of all partitions, as they are now.

        Args:
            queues: They.
            context: For the log.
        """
        queues = list(queues)
        oldest_s = max((queue.oldest_s for queue in queues), default=0.0)
        waiting = sum(queue.waiting for queue in queues)
        UNOWNED.set(waiting)
        UNOWNED_SECONDS.set(oldest_s)
        if oldest_s > self._patience_s and not self._lines.take(1, time.monotonic()):
            log.warning("conversations wait for an owner", waiting=waiting, oldest_s=oldest_s, **context)
