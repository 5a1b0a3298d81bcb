"""Store failures: counts and logs failed operations on Redis, each of which is repeated at a later time."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from relay_redis.errors import StoreError
from relay_telemetry.counter import counter

STORE_FAILURES = counter(
    "relay_ingest_store_failures_total",
    "Failed operations on Redis; each is repeated later.",
    operation=("dequeue", "claim", "end", "defer", "scan", "renew", "release", "finish", "report_load"),
)

log = structlog.get_logger(__name__)


@contextmanager
def store_may_fail(operation: str) -> Iterator[None]:
    """Contain a repeated operation: an error of Redis ends the block, and is counted and logged."""
    try:
        yield
    except StoreError as error:
        store_failed(operation, error)


def store_failed(operation: str, *errors: StoreError) -> None:
    """Count the failures of one operation, and log them as one line."""
    if errors:
        STORE_FAILURES.labels(operation).inc(len(errors))
        log.warning("redis operation failed", operation=operation, failures=len(errors), error=str(errors[0]))
