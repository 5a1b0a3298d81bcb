"""The write coalescer: one write for each socket and loop tick, at the end of the tick.

All frames of a tick are processed first and written then, system call after system call, and several messages
for one viewer leave in one write. A write per frame costs 13 % more CPU: each wakes a receiver, which then
interrupts the work on the next frame (docs/reports/performance.md).
"""

import asyncio
from abc import ABC, abstractmethod
from time import time_ns
from typing import Protocol


class Writable(Protocol):
    """A socket with a buffer of unwritten messages."""

    def flush(self) -> None:
        """Write the buffered messages. Must not raise."""


class Timed(ABC):
    """A delivery that needs to know when it was written. No protocol: compiled, a call costs a tenth so."""

    __slots__ = ()

    @abstractmethod
    def written(self, now_ns: int) -> None:
        """Note the wall time at which all sockets of a tick were flushed. Must not raise."""


class WriteCoalescer:
    """The sockets to flush at the end of a loop tick; one coalescer per event loop."""

    def __init__(self) -> None:
        self._sockets: list[Writable] = []
        self._timed: list[Timed] = []
        self._scheduled = False

    def add(self, socket: Writable) -> None:
        """Flush a socket at the end of this loop tick."""
        self._sockets.append(socket)
        if not self._scheduled:
            self._schedule()

    def time(self, delivery: Timed) -> None:
        """Pass a delivery the time of the end of this loop tick, when all its sockets are flushed."""
        self._timed.append(delivery)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.flush()
        if self._timed:
            timed, self._timed = self._timed, []
            now_ns = time_ns()
            for delivery in timed:
                delivery.written(now_ns)
