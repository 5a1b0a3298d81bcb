"""Demand: how many workers the conversations of the whole relay need, for autoscalers. Pure."""

from collections.abc import Sequence

from relay_ingest.capacity import Capacity
from relay_streams.leases import Load, Queue


class Demand:
    """What the last complete scan has found, for as long as it is fresh.

    Args:
        capacity: Of each worker.
        fresh_s: How long a scan counts; an autoscaler must not act on older numbers.
    """

    def __init__(self, capacity: Capacity, *, fresh_s: float) -> None:
        self._capacity = capacity
        self._fresh_s = fresh_s
        self._scanned_at = float("-inf")
        self._found: dict[str, float] = {}

    def update(self, queues: Sequence[Queue], load: Load, now: float) -> None:
        """Keep what a scan has found.

        Args:
            queues: The queues of all partitions.
            load: What all workers own.
            now: A monotonic time.
        """
        waiting = sum(queue.waiting for queue in queues)
        self._scanned_at = now
        self._found = {
            "needed_workers": self._capacity.load(load.active + waiting, load.owned + waiting),
            "unowned_conversations": waiting,
            "unowned_seconds": max((queue.oldest_s for queue in queues), default=0.0),
            "active_conversations": load.active,
            "owned_conversations": load.owned,
            "workers": load.workers,
        }

    def document(self, now: float) -> dict[str, float] | None:
        """The numbers of the last scan; None when it is too old.

        ``needed_workers`` is the number of workers that would be exactly full with the conversations that are
        owned and those that wait.
        """
        return dict(self._found) if now - self._scanned_at <= self._fresh_s else None
