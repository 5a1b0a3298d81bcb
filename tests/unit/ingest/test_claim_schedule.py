"""The claim schedule: a notification sets the time of a queue, whatever a scan was about to do."""

import pytest

from relay_ingest.claim_schedule import ClaimSchedule


def test_the_earliest_comes_first() -> None:
    """Each once, by its time and not in the order of arrival."""
    schedule = ClaimSchedule()
    schedule.notify(b"late", 3.0)
    schedule.notify(b"early", 1.0)
    schedule.scan(b"middle", 2.0)
    assert schedule.due == 1.0
    assert [schedule.pop() for _ in range(3)] == [b"early", b"middle", b"late"]
    assert not schedule


def test_a_notification_postpones_a_scan() -> None:
    """Else a full worker that is about to scan claims before emptier ones."""
    schedule = ClaimSchedule()
    schedule.scan(b"queue", 1.0)
    schedule.notify(b"queue", 1.1)
    assert schedule.due == 1.1


def test_only_the_first_notification_counts() -> None:
    """Else a queue with constant notifications would never be asked."""
    schedule = ClaimSchedule()
    schedule.notify(b"queue", 1.0)
    schedule.notify(b"queue", 1.1)
    schedule.scan(b"queue", 1.2)
    schedule.notify(b"queue", 1.3)
    assert schedule.due == 1.0


def test_a_queue_can_be_scheduled_again() -> None:
    """By a scan, and then by a notification that postpones it."""
    schedule = ClaimSchedule()
    schedule.notify(b"queue", 1.0)
    schedule.pop()
    schedule.scan(b"queue", 2.0)
    schedule.notify(b"queue", 3.0)
    assert schedule.due == 3.0


def test_nothing_is_due_in_an_empty_schedule() -> None:
    """The worker waits for an entry first."""
    with pytest.raises(ValueError, match="empty"):
        ClaimSchedule().pop()
