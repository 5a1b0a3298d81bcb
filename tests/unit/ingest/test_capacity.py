"""How many conversations a worker takes."""

import pytest

from relay_ingest.capacity import Capacity


@pytest.mark.parametrize(
    ("active", "owned", "room"),
    [(0, 0, 10), (3, 3, 7), (10, 10, 0), (0, 10, 10), (0, 29, 1), (9, 29, 1), (0, 30, 0), (12, 12, 0)],
)
def test_room(active: int, owned: int, room: int) -> None:
    """Active ones count against one bound, all of them against both; neither is passed by taking more."""
    capacity = Capacity(active=10, idle=20)
    assert capacity.room(active, owned) == room


def test_load() -> None:
    """The fuller of both decides who reaches for the next conversation first."""
    capacity = Capacity(active=10, idle=10)
    assert capacity.load(0, 0) == 0
    assert capacity.load(5, 5) == 0.5
    assert capacity.load(1, 15) == 0.75
