"""Offers: the queues that may hold conversations to take, and when to reach into each."""


class ClaimSchedule:
    """Queues to reach into, the earliest due first. Times are the caller's, of any one clock.

    Who reaches for a hint lets emptier workers go first, by a head start. A sweep must not spoil that: a
    queue about to be swept when a hint comes is due when the hint says. Further hints change nothing, so
    that what is offered all the time is reached for in the end.
    """

    def __init__(self) -> None:
        self._due: dict[bytes, float] = {}
        self._swept: set[bytes] = set()
        """Queues that no hint is the reason for."""

    def __bool__(self) -> bool:
        return bool(self._due)

    @property
    def due(self) -> float:
        """When the first is due. Raises ``ValueError`` when there is none."""
        return min(self._due.values())

    def hear(self, queue: bytes, due: float) -> None:
        """A hint said that something is in this queue."""
        if queue in self._swept or queue not in self._due:
            self._swept.discard(queue)
            self._due[queue] = due

    def sweep(self, queue: bytes, due: float) -> None:
        """Look into this queue, since hints can be lost."""
        if queue not in self._due:
            self._swept.add(queue)
            self._due[queue] = due

    def pop(self) -> bytes:
        """The queue that is due first. Raises ``ValueError`` when there is none."""
        queue = min(self._due, key=self._due.__getitem__)
        self._swept.discard(queue)
        del self._due[queue]
        return queue
