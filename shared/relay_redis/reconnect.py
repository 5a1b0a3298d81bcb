"""Reconnecting: one loop for every connection that is to stay open."""

import asyncio
import traceback
from typing import Protocol

import structlog
from redis import exceptions
from redis.asyncio.connection import Connection
from redis.backoff import EqualJitterBackoff

from relay_redis.endpoint import Endpoint
from relay_redis.metrics import FAILOVERS, RECONNECTS, REFUSALS, VIOLATIONS
from relay_telemetry.counter import expect
from relay_telemetry.throttle import Throttle

RECONNECT_WAIT = EqualJitterBackoff(cap=1.0, base=0.05)
"""Between attempts to reach Redis: 25-50 ms first, doubled up to 0.5-1 s."""

log = structlog.get_logger(__name__)


class ConnectionHandler(Protocol):
    """The user of a connection that ``keep_open`` opens."""

    useful: bool
    """Whether this connection has served a request. ``keep_open`` clears it before each attempt, and starts
    its waits from the shortest after a useful connection."""

    async def serve(self, connection: Connection) -> None:
        """Use an open connection until it breaks, which raises."""

    def on_disconnect(self, reason: str) -> None:
        """Called after each connection and each failed attempt, on cancellation too. Must not raise."""


async def keep_open(endpoint: Endpoint, handler: ConnectionHandler, *, name: str, timeout_s: float) -> None:
    """Connect, serve until the connection breaks, wait, and connect again, until cancelled.

    Args:
        endpoint: The server, resolved at each attempt.
        handler: Serves each connection.
        name: Of the client, in logs and metrics.
        timeout_s: Limit for opening a connection.
    """
    disconnects = _Disconnects(name)
    failures = 0
    while True:
        handler.useful = False
        reason = "closed"
        try:
            await _serve_one(endpoint, handler, name, timeout_s)
        except Exception as error:  # noqa: BLE001  # the root of this connection; counted
            reason = disconnects.record(error)
        finally:
            handler.on_disconnect(reason)
        if handler.useful:
            failures = 0
        await asyncio.sleep(RECONNECT_WAIT.compute(failures))
        failures += 1


async def _serve_one(endpoint: Endpoint, handler: ConnectionHandler, name: str, timeout_s: float) -> None:
    connection = await endpoint.open(name=name, timeout_s=timeout_s)
    try:
        await handler.serve(connection)
    finally:
        await connection.disconnect(nowait=True)


class _Disconnects:
    """Counts and logs the ends of a client's connections; log lines in quick succession are suppressed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._throttle = Throttle()
        for metric in (RECONNECTS, FAILOVERS, REFUSALS, VIOLATIONS):
            expect(metric, client=name)

    def record(self, error: Exception) -> str:
        """Count and log why a connection ended; returns the reason as text."""
        reason = str(error) or repr(error)
        RECONNECTS.labels(self._name).inc()
        if isinstance(error, exceptions.InvalidResponse):
            kind = "protocol"
        else:
            kind = "" if isinstance(error, exceptions.RedisError | OSError) else "defect"
        if kind:
            VIOLATIONS.labels(self._name, kind).inc()
        if kind == "defect":
            reason = f"{error!r} in {_origin(error)}"
        suppressed = self._throttle.admit(kind)
        if suppressed is not None:
            log.warning("redis connection lost", client=self._name, error=reason, suppressed=suppressed)
        return reason


def _origin(error: Exception) -> str:
    """Where it was raised. A formatted traceback would read source files, on the event loop."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{frame.f_code.co_filename}:{line}"
