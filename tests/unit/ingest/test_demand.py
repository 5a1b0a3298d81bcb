"""Demand: what an autoscaler reads is of the whole relay, and never old."""

import pytest

from relay_ingest.capacity import Capacity
from relay_ingest.demand import Demand
from relay_streams.leases import Load, Queue

NOTHING = Load(active=0, owned=0, workers=1)


def demand(active: int = 10, idle: int = 10) -> Demand:
    return Demand(Capacity(active, idle), fresh_s=5)


def test_the_document_is_of_all_partitions() -> None:
    """The sum of what waits, the longest wait, and what all workers own."""
    found = demand()
    found.update([Queue(0, 2, 1.5), Queue(1, 3, 4.0)], Load(active=7, owned=9, workers=2), now=0)

    assert found.document(0) == {
        "needed_workers": 1.2,  # 7 active and 5 that wait, of 10
        "unowned_conversations": 5,
        "unowned_seconds": 4.0,
        "active_conversations": 7,
        "owned_conversations": 9,
        "workers": 2,
    }


@pytest.mark.parametrize(
    ("active", "owned", "waiting", "needed"),
    [(0, 0, 0, 0.0), (10, 10, 0, 1.0), (5, 30, 0, 1.5), (30, 30, 0, 3.0), (10, 10, 5, 1.5), (0, 20, 10, 1.5)],
)
def test_needed_workers(active: int, owned: int, waiting: int, needed: float) -> None:
    """By active conversations or by all of them, whichever needs more; those that wait count as both."""
    found = demand()
    found.update([Queue(0, waiting, 0.0)], Load(active, owned, workers=3), now=0)
    document = found.document(0)

    assert document is not None
    assert document["needed_workers"] == needed


def test_no_document_without_a_fresh_scan() -> None:
    """Before the first scan, and when the last one is older than it may be: an autoscaler must fall back."""
    found = demand()
    assert found.document(0) is None
    found.update([], NOTHING, now=100)
    assert found.document(105) is not None
    assert found.document(105.1) is None


def test_a_caller_cannot_change_the_document() -> None:
    """Each call returns a dictionary of its own."""
    found = demand()
    found.update([], NOTHING, now=0)
    first = found.document(0)
    assert first is not None
    first.clear()
    assert found.document(0)
