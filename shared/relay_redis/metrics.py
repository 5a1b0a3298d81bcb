"""Metrics that several modules of the client share; ``client`` is the name a client was constructed with."""

from prometheus_client import Gauge

from relay_redis.refusals import REASONS
from relay_telemetry.counter import OPEN, counter

CONNECTED = Gauge("relay_redis_connected", "Whether a Redis client is connected.", ["client"])
RECONNECTS = counter("relay_redis_reconnects_total", "Connections to Redis that broke.", client=OPEN)
REFUSALS = counter(
    "relay_redis_refusals_total", "Commands that Redis answered with an error.", client=OPEN, reason=REASONS
)
VIOLATIONS = counter(
    "relay_redis_violations_total",
    "Connections closed for a reply that matches no command (protocol), or for our own exception (defect).",
    client=OPEN,
    kind=("protocol", "defect"),
)
FAILOVERS = counter("relay_redis_failovers_total", "Primaries found to have been replaced.", client=OPEN)
