"""The heartbeat: pings viewers that say nothing, and drops those that do not answer.

aiohttp would do it with two timers and a task for each viewer; here one task does it for all.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from relay_gateway.socket import Socket

PARTS = 16
"""Sockets are looked at in so many parts, one after the other, so that pings are no burst."""


class Heartbeat:
    """All open sockets, each looked at twice per interval.

    A socket that was silent for half an interval is pinged, so that one that only listens is pinged once
    per interval; one that is still silent half an interval later is dropped.

    Args:
        interval_s: How often a viewer that only listens is pinged.
    """

    def __init__(self, interval_s: float) -> None:
        self._look_s = interval_s / 2
        self._parts: list[set[Socket]] = [set() for _ in range(PARTS)]
        self._next = cycle(self._parts)

    @contextmanager
    def watch(self, socket: Socket) -> Iterator[None]:
        """Look after a socket while the block runs."""
        part = next(self._next)
        part.add(socket)
        try:
            yield
        finally:
            part.discard(socket)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            for part in self._parts:
                await asyncio.sleep(self._look_s / PARTS)
                for socket in part:
                    socket.probe()
