"""Error boundary: an unexpected exception ends the conversation it concerns, and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from relay_telemetry.counter import counter

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

DEFECTS = counter(
    "relay_ingest_defects_total",
    "Unexpected exceptions. Each ends the conversation it concerns, and nothing else.",
    where=("start", "uplink", "motion", "timer", "agent", "task", "end", "worker"),
)

log = structlog.get_logger(__name__)


class ErrorBoundary:
    """A boundary around callbacks and tasks of one conversation, or of the worker itself.

    Args:
        spawn: Starts a task that the worker owns.
        on_failure: Called after an exception was reported.
        context: For the log.
    """

    def __init__(self, spawn: Spawn, on_failure: Callable[[], None], **context: Any) -> None:
        self._spawn = spawn
        self._on_failure = on_failure
        self._log = log.bind(**context)

    @contextmanager
    def __call__(self, where: str) -> Iterator[None]:
        """Around a callback: an exception ends the block, is reported, and does not leave the block."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # the root of a callback
            self.failed(where)(error)

    def failed(self, where: str) -> Callable[[Exception], None]:
        """A callback for code that catches exceptions itself: it treats one as the block does."""

        def on_failure(error: Exception) -> None:
            self.report(where, error)
            self._on_failure()

        return on_failure

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task whose exceptions are reported, and do not leave the task."""
        return self._spawn(self._contain(coroutine))

    def report(self, where: str, error: Exception) -> None:
        """Count and log an exception."""
        DEFECTS.labels(where).inc()
        self._spawn(self._write(where, error))

    async def _contain(self, coroutine: Coroutine[Any, Any, None]) -> None:
        with self("task"):
            await coroutine

    async def _write(self, where: str, error: Exception) -> None:
        # A traceback is read from source files.
        await asyncio.to_thread(self._log.error, "unexpected exception", where=where, exc_info=error)
