"""Keepalive: pings idle viewers, and aborts connections that do not answer.

One task probes all viewers; aiohttp would use two timers and a task for each.
"""

import asyncio
from collections.abc import Iterator
from itertools import cycle

from relay_gateway.socket import Socket

PARTS = 16
"""Sockets are probed in this number of parts, one after the other, so that pings do not come in bursts."""


class Keepalive:
    """All open sockets, each probed twice per interval.

    A socket that received nothing for half an interval is pinged, so that a viewer that only listens is
    pinged once per interval; a socket that is still silent half an interval later is aborted.

    Args:
        interval_s: How often a viewer that only listens is pinged.
    """

    def __init__(self, interval_s: float) -> None:
        self._probe_s = interval_s / 2
        self._parts: list[set[Socket]] = [set() for _ in range(PARTS)]
        self._next = cycle(self._parts)

    def __iter__(self) -> Iterator[Socket]:
        return iter([socket for part in self._parts for socket in part])

    def add(self, socket: Socket) -> None:
        """Probe a socket until ``remove``."""
        next(self._next).add(socket)

    def remove(self, socket: Socket) -> None:
        """Stop probing a socket."""
        for part in self._parts:
            part.discard(socket)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            for part in self._parts:
                await asyncio.sleep(self._probe_s / PARTS)
                for socket in part:
                    socket.probe()
