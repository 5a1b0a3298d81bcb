"""Metrics of the outbox in the processes that append to it."""

from prometheus_client import Gauge

ENABLED = Gauge(
    "relay_outbox_enabled",
    "Whether what happens in conversations is stored for the jobs service: 1 with `RELAY_JOBS`, else 0.",
)
