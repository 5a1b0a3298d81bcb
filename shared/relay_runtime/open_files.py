"""Open files: how many this process may have, and how many of them its clients may take.

Every connection is an open file. When there are none left, a new connection is closed without a word, the
orchestrator's probes among them, and Redis is not reached any more: so clients get fewer than there are.
"""

import asyncio
import resource

import structlog
from prometheus_client import Counter, Gauge

RESERVED = 256
"""Open files that clients do not get; half of all where there are few."""
_SPARE = 64
"""Connections beyond those of viewers: requests, and viewers that are told that there is no room."""
_TELL_EVERY_S = 10.0

CONNECTIONS = Gauge("relay_http_connections", "Open connections of clients.")
REFUSED = Counter(
    "relay_http_connections_refused_total", "Connections closed at once, since too few open files are left."
)

log = structlog.get_logger(__name__)


class Room:
    """The connections that clients may have.

    Args:
        connections: How many at once.
    """

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.taken = 0
        self._told_at = float("-inf")

    @classmethod
    def of(cls, open_files: int) -> "Room":
        """The room that this many open files leave; its connections are those in the metric."""
        room = cls(max(1, open_files - min(RESERVED, open_files // 2)))
        CONNECTIONS.set_function(lambda: room.taken)
        return room

    @property
    def viewers(self) -> int:
        """How many of the connections may be those of viewers, which stay."""
        return max(1, self.connections - min(_SPARE, self.connections // 4))

    def take(self) -> bool:
        """Take up a connection; False when there is no room for it."""
        if self.taken < self.connections:
            self.taken += 1
            return True
        REFUSED.inc()
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            log.warning("connections are refused: too few open files are left", connections=self.connections)
        return False

    def give_back(self) -> None:
        """A connection has ended."""
        self.taken -= 1


def raise_limit() -> int:
    """Raise the limit of open files as far as this process may; says how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # systems whose hard limit is none
            log.warning("the limit of open files stays as it is", limit=soft, error=str(error))
        else:
            log.info("limit of open files raised", limit=hard, before=soft)
            return hard
    return soft
