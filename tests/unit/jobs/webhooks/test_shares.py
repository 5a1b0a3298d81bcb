"""Shares: no endpoint's backlog occupies the workers of the others."""

from relay_jobs.webhooks.shares import Shares, share
from relay_streams.webhooks import Place, Standing


def places(endpoint: str, count: int) -> list[Place]:
    """Deliveries of one endpoint."""
    return [Place(3, f"msg_{index}_{endpoint}") for index in range(count)]


def shared(found: list[Place], **standings: Standing) -> Shares:
    """With four connections; every wait is the longest."""
    return share(found, standings, connections=4, random_share=lambda: 1.0)


def test_few_are_sent() -> None:
    """All of them, of any endpoint."""
    found = places("a", 40) + places("b", 1)
    assert shared(found) == Shares(found, [])


def test_many_are_sent_bit_by_bit() -> None:
    """The longest due ones first; the others wait the longer, the more there are, and a minute at most."""
    found = places("a", 120)
    assert shared(found) == Shares(found[:40], [(place, 3.0) for place in found[40:]])
    assert shared(places("a", 10_000)).postpone[0][1] == 60.0


def test_an_endpoint_that_fails() -> None:
    """It gets a task for each connection; one that rests gets none, and its deliveries wait for that."""
    found = places("a", 5)
    assert shared(found, a=Standing(1, 0.0)) == Shares(found[:4], [(found[4], 1.25)])
    resting = shared(found + places("b", 2), a=Standing(9, 20.0))
    assert resting == Shares(places("b", 2), [(place, 22.25) for place in found])
