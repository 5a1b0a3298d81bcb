"""Open files: the limit of this process, and the part of it for connections of clients.

Every connection is an open file. Without free files the kernel closes new connections at once, the
orchestrator's probes among them, and Redis cannot be reached: so clients get fewer than the limit.
"""

import asyncio
import resource

import structlog
from prometheus_client import Counter, Gauge

RESERVED = 256
"""Open files that are not for clients; at most half of all."""
_SPARE = 64
"""Connections beyond those of viewers: requests, and viewers that are refused."""
_LOG_INTERVAL_S = 10.0

CONNECTIONS = Gauge("relay_http_connections", "Open connections of clients.")
REFUSED = Counter(
    "relay_http_connections_refused_total", "Connections closed at once, since too few open files are left."
)

log = structlog.get_logger(__name__)


class ConnectionLimit:
    """The limit on connections of clients.

    Args:
        connections: The most at once.
    """

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.used = 0
        self._logged_at = float("-inf")

    @classmethod
    def of(cls, open_files: int) -> "ConnectionLimit":
        """The limit for a process with this many open files; the metric shows its connections."""
        limit = cls(max(1, open_files - min(RESERVED, open_files // 2)))
        CONNECTIONS.set_function(lambda: limit.used)
        return limit

    @property
    def viewers(self) -> int:
        """The most connections of viewers."""
        return max(1, self.connections - min(_SPARE, self.connections // 4))

    def acquire(self) -> bool:
        """Count a connection; False when there are as many as the limit."""
        if self.used < self.connections:
            self.used += 1
            return True
        REFUSED.inc()
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            log.warning("connections are refused: too few open files are left", connections=self.connections)
        return False

    def readiness(self) -> str:
        """Why no further client is accepted, or nothing."""
        return "" if self.used < self.connections else f"{self.used} connections, as many as the limit"

    def release(self) -> None:
        """Count a connection that has ended."""
        self.used -= 1


def raise_limit() -> int:
    """Raise the limit of open files as far as permitted; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # on systems without a hard limit
            log.warning("limit of open files not raised", limit=soft, error=str(error))
        else:
            log.info("limit of open files raised", limit=hard, before=soft)
            return hard
    return soft
