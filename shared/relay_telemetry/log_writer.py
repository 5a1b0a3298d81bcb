"""The log writer: a thread writes lines to standard error, so that no other code waits.

A log shipper that hangs, a paused terminal or a parent that never reads fills the pipe, and the next write
blocks. Here it blocks the writer's thread alone: further lines wait in a queue that is bounded in lines and
bytes, and what finds no room is dropped and counted.
"""

import contextvars
import logging
import os
import select
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import structlog

from relay_telemetry.counter import counter

MAX_LINES = 4096
"""Most lines that wait for standard error; with them, ``RELAY_LOG_BUFFER_BYTES``."""
FLUSH_S = 1.0
"""Longest wait of a process that ends for standard error to accept the remaining lines."""

DROPPED = counter(
    "relay_log_lines_dropped_total",
    "Log lines not written: the queue was full, standard error failed, or the event repeated itself.",
    reason=("full", "failed", "repeated"),
)

log = structlog.get_logger(__name__)

Event = tuple[str, int, str]
"""Logger, level and static message of a line."""


class Repeats:
    """Bounds the rate of lines of one event. Pure: the caller passes the time.

    Args:
        per_s: Lines of one event in any second of the clock.
    """

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._second = 0
        self._counts = Counter[Event]()

    def allow(self, event: Event, now: float) -> bool:
        """Count one line. Returns whether it may be written."""
        if int(now) != self._second:
            self._second = int(now)
            self._counts.clear()
        self._counts[event] += 1
        return self._counts[event] <= self._per_s


class LogWriter(logging.Handler):
    """Writes records to a file descriptor, never waiting for it. Any thread may log.

    Args:
        write: Writes bytes, and may block.
        buffer_bytes: Most bytes that wait.
        repeats_per_s: Lines of one event per second; further ones are counted and dropped.
    """

    def __init__(self, write: Callable[[bytes], None], *, buffer_bytes: int, repeats_per_s: int) -> None:
        super().__init__()
        self._write = write
        self._buffer_bytes = buffer_bytes
        self._repeats = Repeats(repeats_per_s)
        self._lines: deque[bytes] = deque()
        self._size_bytes = 0
        self._dropped = 0
        self._writing = False
        self._changed = threading.Condition()
        # The thread's own lines have the context of the process: its service.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record as a line, or drop it. Never blocks, never raises."""
        try:
            if not self._repeats.allow(_event_of(record), time.monotonic()):
                self._drop("repeated")
                return
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001  # a line that cannot be formatted must not end the code that logs it
            self._drop("failed")
            return
        with self._changed:
            full = len(self._lines) >= MAX_LINES or self._size_bytes + len(line) > self._buffer_bytes
            # The thread's own line, at most one for each write, has the number of dropped lines.
            if full and threading.current_thread() is not self._thread:
                self._drop("full")
                return
            self._lines.append(line)
            self._size_bytes += len(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is written, at most ``FLUSH_S``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, FLUSH_S)

    def _drop(self, reason: str) -> None:
        DROPPED.labels(reason).inc()
        self._dropped += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                lines, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._size_bytes = self._dropped = 0
                self._writing = True
            if dropped:
                log.warning("log lines dropped", lines=dropped)
            try:
                self._write(b"".join(lines))
            except (OSError, ValueError):  # the reader has ended, the disk is full, or it is closed
                DROPPED.labels("failed").inc(len(lines))


def standard_error() -> Callable[[bytes], None]:
    """A function that writes to standard error as it is now."""
    stream = sys.stderr
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a test's, in memory
        return lambda data: print(data.decode(), end="", file=stream)
    # Past the stream's own buffer: Python flushes that at its end, and would wait for the reader there.
    return lambda data: _write_all(descriptor, data)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # another process that shares it has made it non-blocking
            select.select([], [descriptor], [])


def _event_of(record: logging.LogRecord) -> Event:
    message = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
    return record.name, record.levelno, str(message)
