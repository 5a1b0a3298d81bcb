"""Offers: a hint is reached for after its head start, whatever a sweep was about to do."""

import pytest

from relay_ingest.claim_schedule import ClaimSchedule


def test_the_earliest_comes_first() -> None:
    """Each once, by its time and not in the order of arrival."""
    offers = ClaimSchedule()
    offers.hear(b"late", 3.0)
    offers.hear(b"early", 1.0)
    offers.sweep(b"middle", 2.0)
    assert offers.due == 1.0
    assert [offers.pop() for _ in range(3)] == [b"early", b"middle", b"late"]
    assert not offers


def test_a_hint_puts_off_a_sweep() -> None:
    """Else a full worker that is about to sweep takes from emptier ones what was offered just now."""
    offers = ClaimSchedule()
    offers.sweep(b"queue", 1.0)
    offers.hear(b"queue", 1.1)
    assert offers.due == 1.1


def test_only_the_first_hint_counts() -> None:
    """Else a queue that is filled all the time would never be reached for."""
    offers = ClaimSchedule()
    offers.hear(b"queue", 1.0)
    offers.hear(b"queue", 1.1)
    offers.sweep(b"queue", 1.2)
    offers.hear(b"queue", 1.3)
    assert offers.due == 1.0


def test_what_was_taken_can_be_offered_again() -> None:
    """By a sweep, and then by a hint that puts it off."""
    offers = ClaimSchedule()
    offers.hear(b"queue", 1.0)
    offers.pop()
    offers.sweep(b"queue", 2.0)
    offers.hear(b"queue", 3.0)
    assert offers.due == 3.0


def test_nothing_is_due_when_nothing_is_offered() -> None:
    """The worker waits for an offer first."""
    with pytest.raises(ValueError, match="empty"):
        ClaimSchedule().pop()
