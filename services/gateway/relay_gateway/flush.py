"""The write coalescer: one write for each socket and loop tick, at the end of the tick.

All frames of a tick are processed first and written then, system call after system call, and several messages
for one viewer leave in one write. A write per frame costs 13 % more CPU: each wakes a receiver, which then
interrupts the work on the next frame (docs/reports/performance.md).
"""

import asyncio
from typing import Protocol


class Writable(Protocol):
    """A socket with a buffer of unwritten messages."""

    def flush(self) -> None:
        """Write the buffered messages. Must not raise."""


class WriteCoalescer:
    """The sockets to flush at the end of a loop tick; one coalescer per event loop."""

    def __init__(self) -> None:
        self._sockets: list[Writable] = []

    def add(self, socket: Writable) -> None:
        """Flush a socket at the end of this loop tick."""
        if not self._sockets:
            asyncio.get_running_loop().call_soon(self._flush)
        self._sockets.append(socket)

    def _flush(self) -> None:
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.flush()
