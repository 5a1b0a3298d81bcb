"""Containment: what nobody expected ends what it concerns, and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from relay_redis.errors import StoreError
from relay_telemetry.counter import counter

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

DEFECTS = counter(
    "relay_ingest_defects_total",
    "Exceptions nobody expected. Each ends the conversation it concerns, and nothing else.",
    where=("start", "uplink", "motion", "timer", "agent", "task", "end", "worker"),
)

STORE_FAILURES = counter(
    "relay_ingest_store_failures_total",
    "What Redis did not take.",
    what=("take", "claim", "end", "defer", "sweep", "renew", "release", "finish"),
)

log = structlog.get_logger(__name__)


class ErrorBoundary:
    """Around callbacks and tasks of one conversation, or of the worker itself.

    Args:
        spawn: Starts a task that the worker owns.
        on_failure: Called when something failed, after it is reported.
        context: For the log.
    """

    def __init__(self, spawn: Spawn, on_failure: Callable[[], None], **context: Any) -> None:
        self._spawn = spawn
        self._on_failure = on_failure
        self._log = log.bind(**context)

    @contextmanager
    def __call__(self, where: str) -> Iterator[None]:
        """Around a callback: an exception ends the block, is reported, and goes no further."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # the root of a callback
            self.failed(where)(error)

    def failed(self, where: str) -> Callable[[Exception], None]:
        """For those who contain exceptions themselves: called with one, it acts as the block does."""

        def on_failure(error: Exception) -> None:
            self.report(where, error)
            self._on_failure()

        return on_failure

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task whose exceptions are reported, and go no further."""
        return self._spawn(self._contain(coroutine))

    def report(self, where: str, error: Exception) -> None:
        """Count it and log it."""
        DEFECTS.labels(where).inc()
        self._spawn(self._write(where, error))

    async def _contain(self, coroutine: Coroutine[Any, Any, None]) -> None:
        with self("task"):
            await coroutine

    async def _write(self, where: str, error: Exception) -> None:
        # A traceback is read from source files.
        await asyncio.to_thread(self._log.error, "something failed", where=where, exc_info=error)


@contextmanager
def store_may_fail(what: str) -> Iterator[None]:
    """Around what Redis may not take: that is counted, and tried again at the next occasion."""
    try:
        yield
    except StoreError as error:
        store_failed(what, error)


def store_failed(what: str, error: StoreError) -> None:
    """Count and log what Redis did not take."""
    STORE_FAILURES.labels(what).inc()
    log.warning("redis did not take it", what=what, error=str(error))
