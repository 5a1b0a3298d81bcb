"""The outbox: sockets that were given something in this turn of the event loop, written to at its end.

So what comes in together is first worked on and then written, system call after system call, and a viewer
that is given several things gets one write. Written at once, each frame costs 13 % more CPU: every write
wakes a receiver, which then interrupts the work on the next frame (docs/reports/performance.md).
"""

import asyncio
from typing import Protocol


class Writable(Protocol):
    """What an outbox needs of a socket."""

    def flush(self) -> None:
        """Write what it was given. Must not raise."""


class WriteCoalescer:
    """One event loop's."""

    def __init__(self) -> None:
        self._sockets: list[Writable] = []

    def add(self, socket: Writable) -> None:
        """Have a socket flushed at the end of this turn."""
        if not self._sockets:
            asyncio.get_running_loop().call_soon(self._flush)
        self._sockets.append(socket)

    def _flush(self) -> None:
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.flush()
