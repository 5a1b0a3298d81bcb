"""Shares: of the deliveries that a tick has found, those that get a task, so many for each endpoint. Pure.

A task of a delivery whose endpoint cannot take it costs a worker some milliseconds. An endpoint with a long
backlog would so occupy the workers of all others; what exceeds its share is looked at again a little later.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from relay_jobs.webhooks.plan import endpoint_of
from relay_streams.webhooks import Place, Standing

_PER_CONNECTION: Final = 10
"""Tasks for each connection of an endpoint that answers, per tick."""
_LONGEST_WAIT_S: Final = 60.0
"""Longest wait of what exceeds a share."""

FINE: Final = Standing(0, 0.0)
"""Of an endpoint whose last attempt was answered."""


class Shares(NamedTuple):
    """What a tick does with the deliveries that it has found."""

    send: list[Place]
    postpone: list[tuple[Place, float]]
    """With the seconds until they are looked at again."""


def share(
    places: Sequence[Place],
    standings: Mapping[str, Standing],
    *,
    connections: int,
    random_share: Callable[[], float],
) -> Shares:
    """Divide deliveries that are due into those to send and those that wait.

    Args:
        places: The deliveries, the longest due first.
        standings: What is known of endpoints, by name.
        connections: Attempts at one endpoint at a time.
        random_share: Returns a random number from 0 to 1.
    """
    by_endpoint: dict[str, list[Place]] = {}
    for place in places:
        by_endpoint.setdefault(endpoint_of(place.delivery), []).append(place)
    shares = Shares([], [])
    for name, waiting in by_endpoint.items():
        standing = standings.get(name, FINE)
        most = _most(standing, connections)
        shares.send.extend(waiting[:most])
        rest = waiting[most:]
        spread_s = min(1.0 + len(rest) / (most or connections), _LONGEST_WAIT_S)
        shares.postpone.extend((place, standing.rest_s + random_share() * spread_s) for place in rest)
    return shares


def _most(standing: Standing, connections: int) -> int:
    if standing.rest_s > 0:
        return 0
    return connections if standing.failures else connections * _PER_CONNECTION
