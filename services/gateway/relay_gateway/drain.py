"""Drain: how a gateway that is told to stop sends its viewers elsewhere, a few at a time.

Every viewer is advised a moment of its own to reconnect at, and is closed somewhat after it if it is
still here. Until then it gets its frames as ever.
"""

import asyncio
import math
import random
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import structlog

from relay_gateway.audience import Audience
from relay_gateway.socket import CLOSE_S
from relay_wire import events
from relay_wire.close_codes import RESTART

STEPS = 20
"""Batches a drain closes its viewers in."""

log = structlog.get_logger(__name__)

V = TypeVar("V")


class Departure(NamedTuple, Generic[V]):
    """When one viewer leaves, in seconds from the drain's begin."""

    viewer: V
    advised_s: float
    """When it is asked to reconnect elsewhere."""
    closed_s: float
    """When it is closed if it has not: a step after the advice or more."""


def schedule(viewers: Iterable[V], drain_s: float) -> list[Departure[V]]:
    """Spread departures at random over a drain, in the order in which they are closed."""
    step_s = drain_s / STEPS
    departures = []
    for viewer in viewers:
        at = random.uniform(0, STEPS - 2)  # noqa: S311  # it spreads load, and guards nothing
        departures.append(Departure(viewer, at * step_s, (math.floor(at) + 2) * step_s))
    return sorted(departures, key=attrgetter("closed_s"))


async def drain(audience: Audience, drain_s: float) -> None:
    """Advise every viewer, then close those that stay, batch by batch.

    Returns as soon as no viewer is left, at the latest ``CLOSE_S`` after ``drain_s``. Cancelling stops
    it; viewers that are not closed yet stay.
    """
    departures = schedule(audience, drain_s)
    log.info("draining", viewers=len(departures))
    for departure in departures:
        departure.viewer.say(events.Reconnect(round(departure.advised_s * 1000), "draining"))
    began = asyncio.get_running_loop().time()
    for closed_s, batch in groupby(departures, key=attrgetter("closed_s")):
        if await audience.gone_by(began + closed_s):
            return
        for departure in batch:
            departure.viewer.end(RESTART)
    await audience.gone_by(began + drain_s + CLOSE_S)
