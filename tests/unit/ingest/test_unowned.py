"""Unowned conversations: the gauges have all partitions, and a long wait is logged once a minute."""

import structlog

from relay_ingest.unowned import UNOWNED, UNOWNED_SECONDS, UnownedMonitor
from relay_streams.leases import Queue


def test_the_gauges_are_of_all_partitions() -> None:
    """The sum of the queues, and the longest wait; zero without a queue."""
    monitor = UnownedMonitor(warn_after_s=60.0)
    monitor.report([Queue(0, 2, 1.5), Queue(1, 3, 4.0)])
    assert (UNOWNED._value.get(), UNOWNED_SECONDS._value.get()) == (5, 4.0)
    monitor.report([])
    assert (UNOWNED._value.get(), UNOWNED_SECONDS._value.get()) == (0, 0.0)


def test_a_long_wait_is_logged_once() -> None:
    """Not by every scan; a short wait is not logged at all."""
    monitor = UnownedMonitor(warn_after_s=10.0)
    with structlog.testing.capture_logs() as lines:
        monitor.report([Queue(0, 1, 10.0)], owned=3)
        for _ in range(5):
            monitor.report([Queue(0, 1, 10.5)], owned=3)
    assert [(line["waiting"], line["oldest_s"], line["owned"]) for line in lines] == [(1, 10.5, 3)]
