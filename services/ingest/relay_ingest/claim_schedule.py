"""Claim schedule: when a worker next asks each queue for conversations to claim. Pure."""


class ClaimSchedule:
    """Queues to ask, the earliest due first. Times are the caller's, of any one clock.

    After a notification a worker waits the longer, the fuller it is, so that emptier workers are served
    first. A scan must not defeat that: a notification sets the time of a queue that is due for a scan.
    Further notifications change nothing, so that a queue with constant notifications is asked in the end.
    """

    def __init__(self) -> None:
        self._due: dict[bytes, float] = {}
        self._scanned: set[bytes] = set()
        """Queues that are due for a scan alone."""

    def __bool__(self) -> bool:
        return bool(self._due)

    @property
    def due(self) -> float:
        """When the first queue is due. Raises ``ValueError`` when there is none."""
        return min(self._due.values())

    def notify(self, queue: bytes, due: float) -> None:
        """Schedule a queue after a notification."""
        if queue in self._scanned or queue not in self._due:
            self._scanned.discard(queue)
            self._due[queue] = due

    def scan(self, queue: bytes, due: float) -> None:
        """Schedule a queue although there was no notification, since notifications can be lost."""
        if queue not in self._due:
            self._scanned.add(queue)
            self._due[queue] = due

    def pop(self) -> bytes:
        """Remove the queue that is due first. Raises ``ValueError`` when there is none."""
        queue = min(self._due, key=self._due.__getitem__)
        self._scanned.discard(queue)
        del self._due[queue]
        return queue
