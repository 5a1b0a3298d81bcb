"""Drain: the clients of a service that stops reconnect to other processes, a few at a time.

Every client is advised to reconnect at a moment of its own, and is closed shortly after that moment if it is
still connected. Until then it is served as before.
"""

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import structlog

STEPS = 20
"""The number of batches in which a drain closes its clients."""
CLOSE_S = 2.0
"""How long a client may take to answer a close before its connection is aborted."""

log = structlog.get_logger(__name__)

S = TypeVar("S")


class Sessions(Generic[S]):
    """The sockets or requests that a service serves now."""

    def __init__(self) -> None:
        self._sessions: set[S] = set()
        self._gone = asyncio.Event()
        self._gone.set()

    def __iter__(self) -> Iterator[S]:
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: S) -> None:
        """Count a session until ``remove``."""
        self._sessions.add(session)
        self._gone.clear()

    def remove(self, session: S) -> None:
        """Count a session no more; it has ended."""
        self._sessions.discard(session)
        if not self._sessions:
            self._gone.set()

    async def gone_by(self, deadline: float) -> bool:
        """Wait until none is left, at most until this moment of the loop's clock; returns whether none is."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True


class Departure(NamedTuple, Generic[S]):
    """The moments of one client, in seconds from the begin of the drain."""

    session: S
    advised_s: float
    """Of its reconnect, as advised."""
    closed_s: float
    """Of its close if it is still connected: at least a step after ``advised_s``."""


def schedule(sessions: Iterable[S], drain_s: float) -> list[Departure[S]]:
    """Spread departures at random over a drain, in the order in which they are closed."""
    step_s = drain_s / STEPS
    departures = []
    for session in sessions:
        at = random.uniform(0, STEPS - 2)  # noqa: S311  # it spreads load, and protects nothing
        departures.append(Departure(session, at * step_s, (math.floor(at) + 2) * step_s))
    return sorted(departures, key=attrgetter("closed_s"))


async def drain(
    sessions: Sessions[S],
    drain_s: float,
    *,
    advise: Callable[[S, int], None],
    close: Callable[[S], object],
    end: Callable[[S], object] | None = None,
) -> None:
    """Advise every client, then close those that remain, batch by batch.

    Returns as soon as no client is left, at the latest ``CLOSE_S`` after ``drain_s``. Cancelling stops
    it; clients that are not closed yet remain.

    Args:
        sessions: The clients.
        drain_s: The duration of the drain.
        advise: Sends a client the milliseconds after which to reconnect elsewhere.
        close: Begins to close a client's connection, with the code for a restart, or lets the client finish
            first. Must not block.
        end: Closes the connection of a client that has not finished in ``drain_s``; None: ``close`` does.
    """
    departures = schedule(sessions, drain_s)
    log.info("draining", clients=len(departures))
    for departure in departures:
        advise(departure.session, round(departure.advised_s * 1000))
    began = asyncio.get_running_loop().time()
    for closed_s, batch in groupby(departures, key=attrgetter("closed_s")):
        if await sessions.gone_by(began + closed_s):
            return
        for departure in batch:
            close(departure.session)
    if end is not None and not await sessions.gone_by(began + drain_s):
        for session in sessions:
            end(session)
    await sessions.gone_by(began + drain_s + CLOSE_S)
