"""When a viewer connects again."""

from relay_client.backoff import FIRST_WAIT_S, GROWTH, LONGEST_WAIT_S, RESUME_JITTER_S, Backoff
from relay_wire.close_codes import ReconnectAdvice


def longest(give_up_s: float | None = None) -> Backoff:
    """Chance always takes the longest wait."""
    return Backoff(give_up_s, lambda: 1.0)


def test_the_first_break_is_a_short_jitter() -> None:
    """A gateway that dies cuts all its viewers at once; one alone hardly waits."""
    assert longest().next_wait_s(ReconnectAdvice.RESUME, 0) == RESUME_JITTER_S
    assert longest().next_wait_s(ReconnectAdvice.BACK_OFF, 0) == FIRST_WAIT_S
    assert Backoff(None, lambda: 0.0).next_wait_s(ReconnectAdvice.RESUME, 0) == 0


def test_waits_grow_whatever_the_advice() -> None:
    """A gateway that accepts and closes is no better than one that refuses."""
    backoff = longest()
    waits = [backoff.next_wait_s(ReconnectAdvice.RESUME, 0) for _ in range(12)]

    assert waits[0] == RESUME_JITTER_S
    assert waits[1:10] == [FIRST_WAIT_S * GROWTH**failures for failures in range(1, 10)]
    assert waits[10:] == [LONGEST_WAIT_S] * 2
    backoff.reset()
    assert backoff.next_wait_s(ReconnectAdvice.RESUME, 0) == RESUME_JITTER_S


def test_a_thousand_failures_are_no_overflow() -> None:
    """The longest wait stays the longest."""
    backoff = longest()

    assert [backoff.next_wait_s(ReconnectAdvice.BACK_OFF, 0) for _ in range(3000)][-1] == LONGEST_WAIT_S


def test_it_gives_up() -> None:
    """Counted from the first failure since the last good connection."""
    backoff = longest(give_up_s=60)

    assert backoff.next_wait_s(ReconnectAdvice.RESUME, 100) is not None
    assert backoff.next_wait_s(ReconnectAdvice.BACK_OFF, 159) is not None
    assert backoff.next_wait_s(ReconnectAdvice.BACK_OFF, 160) is None
    backoff.reset()
    assert backoff.next_wait_s(ReconnectAdvice.BACK_OFF, 1000) is not None
